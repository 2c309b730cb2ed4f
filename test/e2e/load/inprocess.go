package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
)

// The types and states of the functions, once more for the other SDK.
var (
	// Commands reads and writes commands.
	Commands = statefun.JSON[Command](CommandType)
	// Entries reads what the functions send to a sink.
	Entries = statefun.JSON[history.Entry](EntryType)

	countValue = statefun.Value[int64]("count")
	chainValue = statefun.ValueOf("chain", statefun.JSON[chain]("e2e.load/chain"))
	noteValue  = statefun.Value[string]("note")
)

// InProcess are the functions of these names on the SDK of this project, for a program that calls them itself. They do and
// remember the same, byte for byte, as those on the official one, so that both kinds can be in one application.
func (f Functions) InProcess(names ...string) (all []statefun.Function) {
	for _, name := range names {
		all = append(all, statefun.Function{
			Type: statefun.TypeName(Namespace + "/" + name), States: []statefun.State{countValue, chainValue, noteValue}, Invoke: f.call,
		})
	}
	return all
}

// call carries out one command.
func (f Functions) call(ctx *statefun.Context, m statefun.Message) error {
	at := f.Now().UnixMilli()
	if rand.Float64() < f.FailureRate {
		return errFlaky
	}
	cmd, err := Commands.From(m)
	if err != nil {
		return err
	}
	if cmd.SlowMs > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(cmd.SlowMs) * time.Millisecond):
		}
	}
	entry, err := note(ctx, cmd)
	if err != nil {
		return err
	}
	entry.At = at
	for i, step := range cmd.Steps {
		if err := carryOut(ctx, entry, i, step); err != nil {
			return fmt.Errorf("step %d of %s: %w", i, cmd.ID, err)
		}
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("encode the entry about %s: %w", cmd.ID, err)
	}
	ctx.Egress(statefun.TypeName(f.Egress), statefun.KafkaRecord{Topic: f.Topic, Key: entry.Address, Value: text})
	if f.Sink != "" {
		ctx.Egress(statefun.TypeName(f.Sink), Entries.Of(entry))
	}
	return nil
}

// note brings the states up to date and returns the entry about the command.
func note(ctx *statefun.Context, cmd Command) (e history.Entry, err error) {
	count, err := countValue.Get(ctx)
	if err != nil {
		return e, err
	}
	link, err := chainValue.Get(ctx)
	if err != nil {
		return e, err
	}
	text, err := noteValue.Get(ctx)
	if err != nil {
		return e, err
	}
	count++
	link.Link = history.Link(link.Link, cmd.ID)
	countValue.Set(ctx, count)
	chainValue.Set(ctx, link)
	switch cmd.Note {
	case "set":
		text = cmd.ID
		noteValue.Set(ctx, text)
	case "delete":
		text = ""
		noteValue.Remove(ctx)
	}
	_, name, err := ctx.Self().Type.Split()
	return history.Entry{
		Address: name + "/" + ctx.Self().ID, Seq: count, Input: cmd.ID, Chain: link.Link, Note: text,
		Sender: cmd.Sender, SenderSeq: cmd.SenderSeq, SenderIndex: cmd.SenderIndex, Delayed: cmd.Delayed,
	}, err
}

// carryOut does one step for the address that entry is about.
func carryOut(ctx *statefun.Context, entry history.Entry, index int, step Step) error {
	if step.Op == OpCancel {
		ctx.Cancel(step.Token)
		return nil
	}
	kind, id, ok := strings.Cut(step.Target, "/")
	if !ok {
		return fmt.Errorf("target %q is not type/id", step.Target)
	}
	next := *step.Then
	next.Sender, next.SenderSeq, next.SenderIndex = entry.Address, entry.Seq, index
	next.Delayed = step.Op == OpAfter
	to, delay := statefun.TypeName(Namespace+"/"+kind).At(id), time.Duration(step.DelayMs)*time.Millisecond
	switch {
	case step.Op == OpSend:
		ctx.Send(to, Commands.Of(next))
	case step.Token == "":
		ctx.SendAfter(delay, to, Commands.Of(next))
	default:
		ctx.SendAfterWithToken(delay, to, Commands.Of(next), step.Token)
	}
	return nil
}
