package doctor

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// everyOperation is what a cluster without an authorizer answers.
var everyOperation = Operations{Known: true, Bits: 0x1ff8}

// good are the facts of an application on three brokers that lacks nothing.
func good() *Facts {
	f := &Facts{
		Application: "app", Mailbox: "app-mailbox", Changelog: "app-changelog", DeadLetter: "app-dead-letter", Addresses: "kafka:9092",
		Protocol: module.GroupClassic, SessionTimeout: 6 * time.Second, TransactionTimeout: 15 * time.Second, MaxStop: 72 * time.Hour,
		ClusterID: "one", Seeds: []Seed{{Address: "kafka:9092", ClusterID: "one"}}, ClusterOperations: everyOperation,
		Ingresses: []string{"orders"}, Egresses: []string{"invoices"}, Topics: map[string]*Topic{},
		Group:        Group{Asked: true, State: "Stable", Operations: everyOperation, Members: []Member{{ID: "1", Name: "worker-1", Topics: []string{"app-mailbox"}}}},
		Clock:        Clock{Measured: true, Margin: time.Millisecond},
		Transactions: Transactions{DescribeRight: "yes"},
		Endpoints:    []Endpoint{{Functions: "a/*", URL: "http://a"}},
	}
	for id := range int32(3) {
		b := Broker{ID: id, Address: "kafka:9092", Release: "v4.2", Requests: map[int16]int16{}, Features: map[string]int16{"transaction.version": 2, "group.version": 1, metadataVersion: 29}}
		for key := range int16(70) {
			b.Requests[key] = 20
		}
		b.Settings = map[string]string{
			"transaction.max.timeout.ms": "900000", "group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000",
			"transactional.id.expiration.ms": "604800000", "offsets.retention.minutes": "10080", "socket.request.max.bytes": "104857600",
			"log.cleaner.enable": "true", "group.coordinator.rebalance.protocols": "classic,consumer", "group.consumer.session.timeout.ms": "45000",
			"default.replication.factor": "3", "min.insync.replicas": "2", "offsets.topic.replication.factor": "3",
			"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2",
		}
		f.Brokers = append(f.Brokers, b)
	}
	for _, name := range []string{f.Mailbox, f.Changelog, f.DeadLetter, offsetsTopic, transactionsTopic, "orders", "invoices"} {
		f.Topics[name] = &Topic{Name: name, Exists: true, Partitions: 4, Replication: 3, InSync: 3, Operations: everyOperation, Settings: map[string]string{
			"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "compression.type": "producer", "max.message.bytes": "1114124",
			"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "message.timestamp.after.max.ms": "3600000",
		}}
	}
	f.Plan = &topics.Plan{Partitions: 4, TombstoneRetention: 24 * time.Hour, Topics: []topics.Topic{{Name: "orders", Role: topics.RoleIngress, Partitions: 8, Exists: true}}}
	return f
}

func TestNothingIsWrongWithAGoodCluster(t *testing.T) {
	r := Judge(good())
	for _, f := range r.Findings {
		if f.Status != OK {
			t.Errorf("%s is %s: %s %s", f.ID, f.Status, f.Subject, f.Found)
		}
	}
	if len(r.Findings) < len(checks) {
		t.Errorf("%d findings of %d checks", len(r.Findings), len(checks))
	}
}

// TestJudgement breaks the good cluster in one way a case and wants that check to come to the status, with the text.
func TestJudgement(t *testing.T) {
	for _, c := range judgements {
		t.Run(fmt.Sprintf("%s is %s when %s", c.id, c.want, c.when), func(t *testing.T) {
			f := good()
			c.change(f)
			worst, found := OK, ""
			for _, v := range Judge(f).Findings {
				if v.ID != c.id {
					continue
				}
				found += fmt.Sprintf("\n%s %s: %s (%s)", v.Status, v.Subject, v.Found, v.Advice)
				if slices.Index(worse, v.Status) > slices.Index(worse, worst) {
					worst = v.Status
				}
			}
			if worst != c.want || found == "" || !strings.Contains(found, c.text) {
				t.Errorf("%s, want %s with %q:%s", worst, c.want, c.text, found)
			}
		})
	}
}

func TestEveryCheckHasACaseForEachOfItsStatuses(t *testing.T) {
	tried := map[string]map[Status]bool{}
	for _, c := range judgements {
		if tried[c.id] == nil {
			tried[c.id] = map[Status]bool{}
		}
		tried[c.id][c.want] = true
	}
	for _, c := range checks {
		for _, s := range c.can {
			if !tried[c.id][s] && s != OK {
				t.Errorf("%s has no case for %s", c.id, s)
			}
		}
		for s := range tried[c.id] {
			if !slices.Contains(c.can, s) {
				t.Errorf("%s came to %s, which its entry does not name", c.id, s)
			}
		}
		delete(tried, c.id)
	}
	if len(tried) > 0 {
		t.Errorf("cases for no check: %v", slices.Collect(maps.Keys(tried)))
	}
}

func TestNothingButReachabilityIsJudgedOfAClusterThatDoesNotAnswer(t *testing.T) {
	f := &Facts{Addresses: "kafka:9092", Unreachable: "connection refused", Seeds: []Seed{{Address: "kafka:9092", Error: "connection refused"}}}
	var ids []string
	for _, v := range Judge(f).Findings {
		ids = append(ids, v.ID)
	}
	if want := []string{"brokers.reachable", "brokers.one-cluster", "endpoints.reachable"}; !slices.Equal(ids, want) {
		t.Errorf("judged %v, want %v", ids, want)
	}
}

func TestTheDocumentNamesEveryCheckAndEveryBug(t *testing.T) {
	text, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !strings.Contains(string(text), "`"+c.id+"`") {
			t.Errorf("docs/doctor.md lacks %s", c.id)
		}
	}
	for _, b := range bugs {
		if !strings.Contains(string(text), b.number) {
			t.Errorf("docs/doctor.md lacks %s", b.number)
		}
	}
}

// TestTimeoutsAreTheWorkers keeps the two defaults in step with the room that has them.
func TestTimeoutsAreTheWorkers(t *testing.T) {
	text, err := os.ReadFile("../worker/config.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, ours := range map[string]time.Duration{"defaultSessionTimeout": defaultSessionTimeout, "defaultTransactionTimeout": defaultTransactionTimeout} {
		found := regexp.MustCompile(name + `\s*=\s*(\d+) \* time.Second`).FindSubmatch(text)
		if found == nil || string(found[1]) != fmt.Sprint(int(ours.Seconds())) {
			t.Errorf("%s is %s here, the worker has %q", name, ours, found)
		}
	}
}

func TestReleasesAreRead(t *testing.T) {
	for guess, want := range map[string]string{"v4.1": "4.1", "at least v4.3": "4.3", "between v3.8 and v3.9": "3.8", "v0.10.2": "0.10"} {
		if m, ok := parseRelease(guess); !ok || m.String() != want {
			t.Errorf("%q is read as %s, want %s", guess, m, want)
		}
	}
	if _, ok := parseRelease("unknown custom version"); ok {
		t.Error("a guess that names no release is read as one")
	}
}

// everywhere changes a setting of every broker; without a value it is taken out.
func everywhere(setting, value string) func(*Facts) {
	return func(f *Facts) {
		for i := range f.Brokers {
			if value == "" {
				delete(f.Brokers[i].Settings, setting)
			} else {
				f.Brokers[i].Settings[setting] = value
			}
		}
	}
}

func released(release string) func(*Facts) {
	return func(f *Facts) {
		for i := range f.Brokers {
			f.Brokers[i].Release = release
		}
	}
}

func silentBrokers(f *Facts) {
	for i := range f.Brokers {
		f.Brokers[i].Error = "connection refused"
	}
}

// topic changes one setting of a topic.
func topic(name, setting, value string) func(*Facts) {
	return func(f *Facts) { f.Topics[name].Settings[setting] = value }
}

func untoldTopic(name string) func(*Facts) {
	return func(f *Facts) {
		f.Topics[name].Settings, f.Topics[name].SettingsError = nil, "TOPIC_AUTHORIZATION_FAILED"
	}
}

// without makes a topic one that does not exist yet.
func without(name string) func(*Facts) {
	return func(f *Facts) { f.Topics[name] = &Topic{Name: name} }
}

func noPlanAtAll(f *Facts) { f.Plan, f.PlanError = nil, "TOPIC_AUTHORIZATION_FAILED" }

func both(changes ...func(*Facts)) func(*Facts) {
	return func(f *Facts) {
		for _, change := range changes {
			change(f)
		}
	}
}

func forget(operations ...kmsg.ACLOperation) Operations {
	o := everyOperation
	for _, operation := range operations {
		o.Bits &^= 1 << uint(operation)
	}
	return o
}

func TestAUserWhoMayNotLookIsNotToldThatThereIsNothing(t *testing.T) {
	for _, c := range []struct {
		topic *Topic
		want  string
	}{
		{&Topic{Name: offsetsTopic, Exists: true}, ""},
		{&Topic{Name: offsetsTopic}, "no group has committed an offset on this cluster"},
		{&Topic{Name: offsetsTopic, Error: "TOPIC_AUTHORIZATION_FAILED"}, "this user sees no group, and may not see __consumer_offsets (TOPIC_AUTHORIZATION_FAILED): allow Describe on group shop"},
	} {
		if got := noOffsets(c.topic, "shop"); got != c.want {
			t.Errorf("%+v: %q, want %q", c.topic, got, c.want)
		}
	}
}
