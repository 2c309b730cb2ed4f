package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/kafka"
)

// appending is an appender alone, on a broker of its own whose answers to it can be lost.
type appending struct {
	t       *testing.T
	cluster *kfake.Cluster
	*appender
	lose atomic.Bool // the answer to the next produce request
}

const appended = "appended"

func newAppending(t *testing.T) *appending {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, appended))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	a := &appending{t: t, cluster: cluster, appender: newAppender()}
	settings, err := kafka.NewSettings(cluster.ListenAddrs(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.begin(settings.With(kgo.Dialer(a.dial)), false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.stop() })
	return a
}

func (a *appending) dial(ctx context.Context, kind, host string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, kind, host)
	if err != nil {
		return nil, err
	}
	return &losingConn{Conn: conn, a: a}, nil
}

// losingConn breaks when the answer comes that is to be lost.
type losingConn struct {
	net.Conn
	a    *appending
	lost atomic.Bool
}

func (c *losingConn) Write(b []byte) (int, error) {
	if len(b) > 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == kmsg.Produce && c.a.lose.CompareAndSwap(true, false) {
		c.lost.Store(true) // BEFORE the request is written
	}
	return c.Conn.Write(b)
}

func (c *losingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.lost.Load() {
		c.Conn.Close()
		return 0, errors.New("the connection is lost")
	}
	return n, err
}

// append appends one record and gives what is told of it.
func (a *appending) append(value string) error {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.enter(ctx); err != nil {
		return err
	}
	told := make(chan error, 1)
	a.produce(ctx, appended, &kgo.Record{Key: []byte("k"), Value: []byte(value)}, func(err error) { told <- err })
	return <-told
}

// durable is how many records the topic has.
func (a *appending) durable() int64 {
	a.t.Helper()
	ends, err := kadm.NewClient(a.client).ListEndOffsets(context.Background(), appended)
	if err != nil {
		a.t.Fatal(err)
	}
	o, _ := ends.Lookup(appended, 0)
	return o.Offset
}

func (a *appending) refuse(err *kerr.Error, when func(kmsg.Request) bool) {
	a.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, When: when})
}

func TestARecordWhoseAnswerIsLostIsDurableOnce(t *testing.T) {
	a := newAppending(t)
	a.lose.Store(true)
	if err := a.append("r0"); err != nil {
		t.Errorf("told %v", err)
	}
	if n := a.durable(); n != 1 {
		t.Errorf("it is there %d times", n)
	}
}

func TestARecordThatTheBrokerRefusesIsNotDurable(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.MessageTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation} {
		t.Run(refusal.Message, func(t *testing.T) {
			a := newAppending(t)
			a.refuse(refusal, nil)
			if err := a.append("r0"); !errors.Is(err, refusal) || errors.Is(err, ErrUncertain) {
				t.Errorf("told %v", err)
			}
			if n := a.durable(); n != 0 {
				t.Errorf("it is there %d times", n)
			}
			if err := a.append("r1"); err != nil {
				t.Errorf("told %v of the next one", err)
			}
		})
	}
}

// The broker has written a record, its answer is lost, and the right to write is taken before the client asks again: it is
// refused now, and durable all the same.
func TestARefusalAfterALostAnswerLeavesOpenWhetherTheRecordIsDurable(t *testing.T) {
	a := newAppending(t)
	var first kmsg.Request // of which the broker asks more than once
	a.refuse(kerr.TopicAuthorizationFailed, func(r kmsg.Request) bool {
		if first == nil {
			first = r
		}
		return r != first
	})
	a.lose.Store(true)
	if err := a.append("r0"); !errors.Is(err, ErrUncertain) || !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("told %v", err)
	}
	if n := a.durable(); n != 1 {
		t.Errorf("it is there %d times", n)
	}
}

// Errors that do not say that the broker has not written the record: not retriable, and no refusal.
func TestOnlyARefusalSaysThatARecordIsNotDurable(t *testing.T) {
	a := newAppending(t)
	a.refuse(kerr.UnknownServerError, nil)
	if err := a.append("r0"); !errors.Is(err, ErrUncertain) || !errors.Is(err, kerr.UnknownServerError) {
		t.Errorf("after an unknown error: %v", err)
	}
	for _, err := range []error{
		kerr.UnknownServerError, kerr.InvalidProducerEpoch, kerr.UnknownProducerID, kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerIDMapping,
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.ClusterAuthorizationFailed, kgo.ErrRecordTimeout, kgo.ErrRecordRetries,
		kgo.ErrClientClosed, context.DeadlineExceeded, errors.New("anything else"),
	} {
		if got := judge(fmt.Errorf("produce: %w", err), false); !errors.Is(got, ErrUncertain) || !errors.Is(got, err) && !errors.Is(got, ErrStopped) {
			t.Errorf("%v is told as %v", err, got)
		}
	}
}
