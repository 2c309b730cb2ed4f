package load

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
)

// The states of the functions. Chain and note are texts so that the second state is of another type than the first.
var (
	countState = statefun.ValueSpec{Name: "count", ValueType: statefun.Int64Type}
	chainState = statefun.ValueSpec{Name: "chain", ValueType: statefun.MakeJsonType(statefun.TypeNameFrom("e2e.load/chain"))}
	noteState  = statefun.ValueSpec{Name: "note", ValueType: statefun.StringType}
)

// chain is the second state.
type chain struct {
	Link uint64 `json:"link"`
}

// Memory is what an address remembers in its three states.
type Memory struct {
	Count int64
	Chain uint64
	Note  string
}

// ReadMemory decodes states of an address, by name, from the bytes that a function sent; a state that is missing is zero.
func ReadMemory(states map[string][]byte) (m Memory, err error) {
	var link chain
	receivers := map[string]any{countState.Name: &m.Count, chainState.Name: &link, noteState.Name: &m.Note}
	specs := []statefun.ValueSpec{countState, chainState, noteState}
	for _, spec := range specs {
		value, is := states[spec.Name]
		if !is {
			continue
		}
		if err := spec.ValueType.Deserialize(bytes.NewReader(value), receivers[spec.Name]); err != nil {
			return m, fmt.Errorf("read state %s: %w", spec.Name, err)
		}
	}
	m.Chain = link.Link
	return m, nil
}

// Functions are the three function types of the load; what they do depends on nothing but their states and input.
type Functions struct {
	// Egress is the typename of the egress and Topic the topic that the entries go to.
	Egress, Topic string
	// Sink is the typename of an egress that gets every entry too, as a value of EntryType; empty: none.
	Sink string
	// FailureRate is the share of invocations that fail before they do anything.
	FailureRate float64
	// Now is the clock that the entries are stamped by.
	Now func() time.Time
}

// Handler serves the functions.
func (f Functions) Handler() (statefun.RequestReplyHandler, error) {
	builder := statefun.StatefulFunctionsBuilder()
	for _, name := range Types {
		err := builder.WithSpec(statefun.StatefulFunctionSpec{
			FunctionType: statefun.TypeNameFrom(Namespace + "/" + name),
			States:       []statefun.ValueSpec{countState, chainState, noteState},
			Function:     statefun.StatefulFunctionPointer(f.Invoke),
		})
		if err != nil {
			return nil, fmt.Errorf("register function %s: %w", name, err)
		}
	}
	return builder.AsHandler(), nil
}

var errFlaky = errors.New("this invocation fails, its repetition may not")

// Invoke carries out one command.
func (f Functions) Invoke(ctx statefun.Context, message statefun.Message) error {
	at := f.Now().UnixMilli()
	if rand.Float64() < f.FailureRate {
		return errFlaky
	}
	var cmd Command
	if err := message.As(commandType, &cmd); err != nil {
		return fmt.Errorf("read command: %w", err)
	}
	if cmd.SlowMs > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(cmd.SlowMs) * time.Millisecond):
		}
	}
	entry := f.remember(ctx, cmd)
	entry.At = at
	for i, step := range cmd.Steps {
		if err := do(ctx, entry, i, step); err != nil {
			return fmt.Errorf("step %d of %s: %w", i, cmd.ID, err)
		}
	}
	ctx.SendEgress(statefun.KafkaEgressBuilder{
		Target:    statefun.TypeNameFrom(f.Egress),
		Topic:     f.Topic,
		Key:       entry.Address,
		Value:     entry,
		ValueType: commandType, // any JSON type: it only encodes
	})
	if f.Sink != "" {
		ctx.SendEgress(statefun.GenericEgressBuilder{Target: statefun.TypeNameFrom(f.Sink), Value: entry, ValueType: entryType})
	}
	return nil
}

// remember brings the states up to date and returns the entry about the command.
func (f Functions) remember(ctx statefun.Context, cmd Command) history.Entry {
	self := ctx.Self()
	store := ctx.Storage()
	var count int64
	store.Get(countState, &count)
	var link chain
	store.Get(chainState, &link)
	count++
	link.Link = history.Link(link.Link, cmd.ID)
	store.Set(countState, count)
	store.Set(chainState, link)
	var note string
	switch cmd.Note {
	case "set":
		note = cmd.ID
		store.Set(noteState, note)
	case "delete":
		store.Remove(noteState)
	default:
		store.Get(noteState, &note)
	}
	return history.Entry{
		Address: self.FunctionType.GetType() + "/" + self.Id,
		Seq:     count, Input: cmd.ID, Chain: link.Link, Note: note,
		Sender: cmd.Sender, SenderSeq: cmd.SenderSeq, SenderIndex: cmd.SenderIndex, Delayed: cmd.Delayed,
	}
}

// do carries out one step for the address that entry is about.
func do(ctx statefun.Context, entry history.Entry, index int, step Step) error {
	if step.Op == OpCancel {
		token, err := statefun.NewCancellationToken(step.Token)
		if err != nil {
			return err
		}
		ctx.CancelDelayedMessage(token)
		return nil
	}
	kind, id, ok := strings.Cut(step.Target, "/")
	if !ok {
		return fmt.Errorf("target %q is not type/id", step.Target)
	}
	next := *step.Then
	next.Sender, next.SenderSeq, next.SenderIndex = entry.Address, entry.Seq, index
	next.Delayed = step.Op == OpAfter
	out := statefun.MessageBuilder{
		Target:    statefun.Address{FunctionType: statefun.TypeNameFrom(Namespace + "/" + kind), Id: id},
		Value:     next,
		ValueType: commandType,
	}
	delay := time.Duration(step.DelayMs) * time.Millisecond
	switch {
	case step.Op == OpSend:
		ctx.Send(out)
	case step.Token == "":
		ctx.SendAfter(delay, out)
	default:
		token, err := statefun.NewCancellationToken(step.Token)
		if err != nil {
			return err
		}
		ctx.SendAfterWithCancellationToken(delay, token, out)
	}
	return nil
}
