package outbox

import (
	"context"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// Item is a row on its way to its target.
type Item struct {
	Seq   uint64 // in the row's key
	Bytes int    // of the row
	state.Outbox
}

// Target is where rows are delivered. Of several lanes that share one each calls it on a goroutine of its own: Begin,
// Deliver for each item of a round, Send.
type Target interface {
	// Begin waits until the target takes a round. Its error says that ctx was done before; then nothing has begun.
	Begin(ctx context.Context) error
	// Deliver hands an item on and calls done once, on any goroutine and perhaps before it returns: with nil when the
	// target has the item, with a *Refusal when it will never take it, with another error when it is to be tried again.
	// Deliver is called in the order of the items; what order the target keeps among them is its own affair. When ctx is
	// done nobody waits for done any more.
	Deliver(ctx context.Context, item Item, done func(error))
	// Send ends what Begin has begun: no more items come in this round. It does not wait for what becomes of them.
	Send()
}

// Refusal says that a target will not take an item, however often it is tried.
type Refusal struct {
	// Reason is one word, of a fixed set, to label a metric.
	Reason string
	// Certain is set when the item was looked at by itself. Without it the fault may be that of an item beside it, so it
	// counts only for one that was handed on alone.
	Certain bool
	Err     error
}

// Error is the error's text.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the error.
func (r *Refusal) Unwrap() error { return r.Err }

// Result is what became of an item: it was delivered, or refused for ever.
type Result struct {
	Item
	Refusal *Refusal // nil: delivered
}
