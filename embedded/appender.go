package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/router"
)

const (
	// bufferedRecords and bufferedBytes bound what waits to become durable; past either AppendAsync waits.
	bufferedRecords = 10_000
	bufferedBytes   = 16 << 20

	// flushTimeout bounds how long the end of Run waits for records that wait to become durable.
	flushTimeout = 5 * time.Second
)

// appender writes what the program appends to all ingresses of one application.
type appender struct {
	begun   chan struct{} // closed when there is a client
	stopped chan struct{} // closed when none is taken any more
	client  *kgo.Client
	open    *gate         // appends that were taken and not told their end
	lost    atomic.Uint64 // connections of the client that have ended
}

func newAppender() *appender {
	return &appender{begun: make(chan struct{}), stopped: make(chan struct{}), open: newGate()}
}

// begin opens the producer.
func (a *appender) begin(settings kafka.Settings, batching bool) (err error) {
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(bufferedRecords), kgo.MaxBufferedBytes(bufferedBytes),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, partitions int) int {
				return int(router.Partition(string(r.Key), int32(partitions)))
			}
		})),
		// The worker creates the topic at its start, and an append may come before.
		kgo.UnknownTopicRetries(-1), kgo.WithHooks(a),
	}
	if !batching { // the client would wait for company; while a request is under way the next one grows anyway
		opts = append(opts, kgo.ProducerLinger(0))
	}
	if a.client, err = settings.Open(opts...); err != nil {
		return err
	}
	close(a.begun)
	return nil
}

// enter waits until records are taken. Every success is followed by one produce.
func (a *appender) enter(ctx context.Context) error {
	if err := a.await(ctx); err != nil {
		return err
	}
	if !a.open.enter() {
		return ErrStopped
	}
	return nil
}

func (a *appender) await(ctx context.Context) error {
	select {
	case <-a.begun: // BEFORE ctx, which may be done too
		return nil
	default:
	}
	select {
	case <-a.begun:
	case <-a.stopped:
	case <-ctx.Done():
		return fmt.Errorf("the application has not begun to run: %w", ctx.Err())
	}
	return nil
}

// produce hands a record to the client; done is called once.
func (a *appender) produce(ctx context.Context, topic string, r *kgo.Record, done func(error)) {
	r.Topic = topic
	before := a.lost.Load()
	a.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		defer a.open.leave()
		done(judge(err, a.lost.Load() != before))
	})
}

// OnBrokerDisconnect is kgo's hook. It comes before what was under way on the connection is tried again.
func (a *appender) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { a.lost.Add(1) }

// refusals are errors by which a broker refuses a record before it writes it, or the client in its place.
var refusals = []*kerr.Error{
	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation,
	kerr.TopicAuthorizationFailed, kerr.InvalidTopicException, kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType,
}

// judge tells a record that was refused from one of which nobody knows. Whether an error may be retried says nothing of
// that: an unknown error of the broker, or a producer id that it has forgotten, comes after writing too. And a refusal is
// of one attempt; when a connection was lost meanwhile, an attempt before it may have been written.
func judge(err error, lost bool) error {
	switch {
	case err == nil:
		return nil
	case !lost && slices.ContainsFunc(refusals, func(why *kerr.Error) bool { return errors.Is(err, why) }):
		return err
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w", ErrUncertain, ErrStopped)
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// stop takes no more records, gives those that wait some time, and returns when all of them were told their end. It returns
// false when code of the program that was told one does not return, behind which the others wait.
func (a *appender) stop() bool {
	if !a.open.shut() {
		return true
	}
	close(a.stopped)
	if a.client == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = a.client.Flush(ctx) // what it leaves behind is told by Close
	a.client.Close()
	return a.open.await()
}
