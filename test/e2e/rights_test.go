package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestEgressTopicsThatMayNotBeWritten denies the worker topics that functions write to: one that it may not even see, one
// that it may look at, and one that it could write to until a moment ago. Only those addresses wait, nothing of their answers
// is seen, and they go on when the right is given.
func TestEgressTopicsThatMayNotBeWritten(t *testing.T) {
	c := ownBroker(t, kafka41, map[string]string{
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found": "true",
	})
	s := newScripted(t, c)
	for _, topic := range []string{"unseen", "seen", "taken"} {
		c.createTopic(t, s.app.topic(topic), 1)
		s.obey("writes-"+topic, order{Topic: topic})
	}
	c.deny(t, s.app.topic("unseen"), kadm.OpAll)
	c.deny(t, s.app.topic("seen"), kadm.OpWrite)
	w := s.app.startReady()
	taken := c.read(t, s.app.topic("taken"))
	c.send(t, s.input("writes-taken", 0))
	s.awaitProcessed(t, "writes-taken", 1)
	taken.AwaitCount(t, 20*time.Second, 1)
	c.deny(t, s.app.topic("taken"), kadm.OpWrite)

	c.send(t, s.input("writes-unseen", 0), s.input("writes-seen", 0), s.input("writes-taken", 1))
	for _, topic := range []string{"unseen", "seen", "taken"} {
		w.awaitLine(t, 20*time.Second, `"msg":"call failed, address is parked"`, "writes-"+topic, s.app.topic(topic), "grant it Write")
	}
	const rounds = 10
	for round := range rounds {
		c.send(t, s.input("healthy", round))
		s.awaitProcessed(t, "healthy", round+1)
	}
	if n := s.processed("writes-unseen") + s.processed("writes-seen") + s.processed("writes-taken"); n != 1 {
		t.Errorf("%d records of refused answers were committed", n-1)
	}
	if !w.ready() {
		t.Error("the worker is unready because of topics that functions may not write to")
	}
	for _, topic := range []string{"unseen", "seen", "taken"} {
		c.allow(t, s.app.topic(topic))
	}
	s.awaitProcessed(t, "writes-unseen", 1)
	s.awaitProcessed(t, "writes-seen", 1)
	s.awaitProcessed(t, "writes-taken", 2)
	w.stop()
	s.checkLives()
}

// everybody are all clients of a listener that asks for no log-in.
const everybody = "User:ANONYMOUS"

// deny takes a right to a topic from everybody and leaves the others: Kafka denies what is not said as soon as something is.
func (c *cluster) deny(t *testing.T, topic string, right kadm.ACLOperation) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, rule := range []*kadm.ACLBuilder{
		kadm.NewACLs().Allow(everybody).AllowHosts("*").Operations(kadm.OpAll),
		kadm.NewACLs().Deny(everybody).DenyHosts("*").Operations(right),
	} {
		results, err := c.admin.CreateACLs(ctx, rule.Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral))
		if err == nil {
			err = results[0].Err
		}
		if err != nil {
			t.Fatalf("set the rights to topic %s: %v", topic, err)
		}
	}
}

// allow takes back all that was said about a topic.
func (c *cluster) allow(t *testing.T, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	rules := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Allow().AllowHosts().Deny().DenyHosts().Operations()
	if _, err := c.admin.DeleteACLs(ctx, rules); err != nil {
		t.Fatalf("take back the rights to topic %s: %v", topic, err)
	}
}
