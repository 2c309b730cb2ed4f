package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// answer is what came of a call: effects that were checked as far as the call's goroutine can, states that the
// function misses, or why there is neither.
type answer struct {
	*call
	effects task.Effects
	records []*kgo.Record
	parcels []parcel
	missing []protocol.StateSpec
	asked   bool // the function asked for missing states
	size    int  // bytes of the answer's body, which its effects share
	err     error
	ended   time.Time
}

// errRefused marks an answer that was refused as a whole.
var errRefused = errors.New("answer refused")

// requests keeps the buffers of request bodies.
var requests = sync.Pool{New: func() any { return new([]byte) }}

// requestKept bounds the buffers that are kept.
const requestKept = 1 << 20

// carry takes a call to the function and its answer to the loop. It touches nothing of the loop's.
func (w *Worker) carry(c *call) {
	a := &answer{call: c}
	a.err = w.invoke(c, a)
	a.ended = time.Now()
	w.hand(a)
}

// hand gives an answer to the loop; it is dropped once the loop has ended.
func (w *Worker) hand(a *answer) {
	select {
	case w.answers <- a:
	case <-w.done:
	}
}

func (w *Worker) invoke(c *call, a *answer) error {
	body, err := w.ask(c)
	if err != nil {
		return err
	}
	a.size = len(body)
	parsed, err := c.endpoint.spec.Generation.ParseAnswer(body)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if parsed.Incomplete {
		a.asked, a.missing = true, parsed.Missing
		return nil
	}
	if err := w.check(c, a, &parsed); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}

// ask sends a call to its function and gives the body of the answer.
func (w *Worker) ask(c *call) (body []byte, err error) {
	if c.endpoint.spec.Transport.Kind == module.TransportInProcess {
		return w.askInProcess(c)
	}
	buffer := requests.Get().(*[]byte)
	request, err := w.request(c, (*buffer)[:0])
	if err == nil {
		body, err = c.endpoint.call(c.ctx, c.Target, request)
	} else { // the call may be the probe of an open circuit, which would wait for its outcome
		c.endpoint.circuit.Abandoned(c.Started, time.Now())
	}
	if *buffer = request; cap(request) <= requestKept {
		requests.Put(buffer)
	}
	return body, err
}

// askInProcess is ask for a function that may keep the request: what it sees of a message is a view of it.
func (w *Worker) askInProcess(c *call) ([]byte, error) {
	request, err := w.request(c, nil)
	if err != nil {
		c.endpoint.circuit.Abandoned(c.Started, time.Now())
		return nil, err
	}
	body, err := c.endpoint.call(c.ctx, c.Target, request)
	pprof.SetGoroutineLabels(c.ctx) // those of Run: the next call on this goroutine may be another function's
	return body, err
}

// request appends what the function is sent to dst.
func (w *Worker) request(c *call, dst []byte) ([]byte, error) {
	get := func(key []byte) ([]byte, error) {
		value, err := w.store.Get(c.task.Partition, key)
		if err != nil {
			err = fmt.Errorf("%w %s: %w", errStore, w.StateDir, err)
		}
		return value, err
	}
	if err := c.Complete(get, time.Now()); err != nil {
		if errors.Is(err, protocol.ErrNewer) { // nothing that the failure policy may decide on
			err = fmt.Errorf("%w %s: %w", errStore, w.StateDir, err)
		}
		return dst, err
	}
	return c.Request(dst, c.endpoint.spec.Generation)
}

// check builds the effects of an answer and finds what must be refused, so that nothing of a refused answer is ever
// in a transaction (H6). The part that needs the task is left to it.
func (w *Worker) check(c *call, a *answer, parsed *protocol.Answer) error {
	a.effects.Mutations = parsed.Mutations
	for i := range parsed.Mutations {
		m := &parsed.Mutations[i]
		if 2*len(m.Name)+len(m.Type)+len(m.Value)+len(c.Target.ID)+rowOverhead > w.names.maxRecordBytes {
			return fmt.Errorf("state %q has %d bytes, the changelog takes %d a record", m.Name, len(m.Value), w.names.maxRecordBytes)
		}
	}
	var memory slab
	if n := len(parsed.Messages); n > 0 {
		a.effects.Messages = make([]protocol.Envelope, n)
	}
	for i := range parsed.Messages {
		m := &parsed.Messages[i]
		e, err := w.envelope(c, m.Target, m.Argument, &memory)
		if err != nil {
			return err
		}
		a.effects.Messages[i] = e
	}
	if err := w.checkDelayed(c, a, parsed.Delayed, &memory); err != nil {
		return err
	}
	return w.checkEgress(c.ctx, a, parsed.Egresses)
}

// rowOverhead is more than a row adds to the strings that it holds.
const rowOverhead = 1024

func (w *Worker) envelope(c *call, target protocol.Address, argument []byte, memory *slab) (e protocol.Envelope, err error) {
	if _, served := w.router.Endpoint(target.Type); !served {
		return e, fmt.Errorf("message to %s: no endpoint of the module serves this function", target)
	}
	e = protocol.Envelope{Target: target, Invocation: protocol.AppendInvocation(memory.take(protocol.SizeInvocation(&c.Target, argument)), &c.Target, argument)}
	if !w.fits(e) {
		return e, fmt.Errorf("message to %s has %d bytes, mailbox and changelog take %d a record", target, len(e.Invocation), w.names.maxRecordBytes)
	}
	return e, nil
}

// fits reports whether an envelope can become a pending row, whose key repeats the address, or a mailbox record.
func (w *Worker) fits(e protocol.Envelope) bool {
	return len(e.Invocation)+2*len(e.Target.ID)+rowOverhead <= w.names.maxRecordBytes
}

func (w *Worker) checkDelayed(c *call, a *answer, delayed []protocol.DelayedMessage, memory *slab) error {
	for i := range delayed {
		d := &delayed[i]
		out := task.Delayed{Delay: d.Delay, Token: d.Token, Cancel: d.Cancel}
		if !d.Cancel {
			e, err := w.envelope(c, d.Target, d.Argument, memory)
			if err != nil {
				return fmt.Errorf("delayed %w", err)
			}
			out.Envelope = protocol.AppendEnvelope(nil, e)
		}
		if n := len(out.Token) + len(c.Target.ID) + len(out.Envelope); n+rowOverhead > w.names.maxRecordBytes {
			return fmt.Errorf("delayed message with its cancellation token has %d bytes, the changelog takes %d a record", n, w.names.maxRecordBytes)
		}
		a.effects.Delayed = append(a.effects.Delayed, out)
	}
	return nil
}

// egressNames lists where functions may send to.
func (w *Worker) egressNames() string {
	var names []string
	for id := range w.egresses {
		names = append(names, id.String())
	}
	if len(names) == 0 {
		return "there is none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (w *Worker) checkEgress(ctx context.Context, a *answer, messages []protocol.EgressMessage) error {
	for i := range messages {
		m := &messages[i]
		if !w.egresses[m.Egress] {
			return fmt.Errorf("egress %s is not in the module: declare it, or send to one that is (%s)", m.Egress, w.egressNames())
		}
		if _, sink := w.Sinks[m.Egress]; sink {
			if err := w.packSink(a, m); err != nil {
				return err
			}
			continue
		}
		r, err := egress.Encode(*m)
		if err != nil {
			return err
		}
		if target, far := w.sends.far[m.Egress]; far {
			if err := w.pack(a, target, r); err != nil {
				return err
			}
			continue
		}
		if err := w.place(ctx, r); err != nil {
			return err
		}
		a.records = append(a.records, r)
	}
	return nil
}

// place gives an egress record its partition, once the catalog knows that the topic takes it. Only this call waits
// for what is not known yet.
func (w *Worker) place(ctx context.Context, r *kgo.Record) error {
	for {
		verdict := w.catalog.Check(r, time.Now())
		switch verdict.Outcome {
		case egress.OK:
			r.Partition = egress.Partition(r.Key, verdict.Partitions, w.lookups.salt.Load())
			return nil
		case egress.Refused:
			return verdict.Refusal
		}
		err := w.lookups.learn(ctx, w.catalog, r.Topic)
		if err == nil {
			continue
		}
		// The cluster's fault, not the answer's: only this call waits, until its epoch ends.
		w.log.Warn("look up an egress topic", "topic", r.Topic, "error", err)
		if !pause(ctx, brokersRetry) {
			return fmt.Errorf("look up egress topic %s: %w", r.Topic, err)
		}
	}
}

// isTooLarge tells a function's refusal of a body for its size.
func isTooLarge(err error) bool { return errors.Is(err, invoker.ErrTooLarge) }
