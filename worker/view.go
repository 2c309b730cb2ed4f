package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// View is the committed state of an address.
type View struct {
	Partition int32
	// Values are the states by their names. One that is not set, or has expired, is not among them.
	Values map[string]state.Value
	// Found says that there is a value at all.
	Found bool
}

var (
	// ErrRestoring says that a partition is this worker's and not restored yet: what its disk has may be old.
	ErrRestoring = errors.New("its partition is being restored on this worker: ask again in a moment")
	// ErrNotRunning says that state was asked for before Run has begun its work, or when it has ended.
	ErrNotRunning = errors.New("the worker is not at work: state is read from when Run has opened its disk until it ends; ask again in a moment if Run has just begun")
)

// NotOwned says that the state of an address is with another worker.
type NotOwned struct {
	Address   protocol.Address
	Partition int32
	// Owner is the id of the worker that has the partition, and Host where it runs as the brokers see it. Both are empty
	// when the group has given the partition to nobody, as between two owners, or does not tell.
	Owner, Host string
	// Err is why the group does not tell; nil when it does.
	Err error
}

// Error names the owner.
func (e *NotOwned) Error() string {
	text := fmt.Sprintf("view %s: partition %d is not this worker's: ", e.Address, e.Partition)
	switch {
	case e.Owner != "":
		return text + fmt.Sprintf("ask worker %s on host %s", e.Owner, e.Host)
	case e.Err != nil:
		return text + fmt.Sprintf("whose it is could not be found out: %v", e.Err)
	default:
		return text + "it has no owner at the moment, as between two owners: ask again in a moment"
	}
}

// Unwrap returns why the owner is not known.
func (e *NotOwned) Unwrap() error { return e.Err }

// View reads the state of an address as it was last committed: nothing of a transaction that may still be aborted is in it,
// and all of it is of one moment. It follows a commit at once, but not in the same instant: who reads an egress topic may
// know of a commit first. A sink does not: what it gets was in the store before.
//
// It answers for the partitions that this worker runs. For another the error is a *NotOwned, for one that is being restored it
// wraps ErrRestoring. A worker that the group has dropped without its knowledge, such as one that was stopped for longer than
// the session, answers with what it had until it learns of that. View may be called from any goroutine.
func (w *Worker) View(ctx context.Context, a protocol.Address) (View, error) {
	select {
	case <-w.began:
	default:
		return View{}, viewError(a, ErrNotRunning)
	}
	id := router.Partition(a.ID, w.plan.Partitions)
	here, err := w.inspect(ctx, id, a.Type)
	for err == nil {
		switch {
		case here.restoring:
			return View{}, viewError(a, ErrRestoring)
		case here.partition == nil:
			return View{}, w.notOwned(ctx, a, id)
		}
		values, failure := w.readState(ctx, id, a, here.states)
		before := here.partition
		// Another may have written to the store meanwhile, where the partition was lost: a replay begins with what is old.
		if here, err = w.inspect(ctx, id, a.Type); err != nil || here.partition != before {
			continue
		}
		if failure != nil {
			return View{}, viewError(a, failure)
		}
		return View{Partition: id, Values: values, Found: len(values) > 0}, nil
	}
	return View{}, viewError(a, err)
}

func viewError(a protocol.Address, err error) error { return fmt.Errorf("view %s: %w", a, err) }

// standing is how a partition stands with this worker.
type standing struct {
	partition *partition // nil: it is not this worker's, or not yet
	restoring bool
	states    []protocol.StateSpec // that are known of the function
}

// inspect asks the loop how a partition stands.
func (w *Worker) inspect(ctx context.Context, id int32, fn protocol.TypeName) (s standing, err error) {
	found := make(chan standing, 1)
	look := func() {
		p := w.partitions[id]
		if p == nil || p.stage == restoring {
			found <- standing{restoring: p != nil || w.assigned[id]}
			return
		}
		found <- standing{partition: p, states: w.registry.States(fn)} // a revoked partition is ours until its last commit
	}
	select {
	case w.posts <- look:
	case <-w.done:
		return s, ErrNotRunning
	case <-ctx.Done():
		return s, ctx.Err()
	}
	select {
	case s = <-found:
		return s, nil
	case <-w.done:
		return s, ErrNotRunning
	case <-ctx.Done():
		return s, ctx.Err()
	}
}

// notOwned asks the group whose a partition is.
func (w *Worker) notOwned(ctx context.Context, a protocol.Address, id int32) error {
	owner, err := w.lookups.owner(ctx, w, id)
	if err == nil && owner.name == w.names.worker { // the group has just decided so
		return viewError(a, ErrRestoring)
	}
	return &NotOwned{Address: a, Partition: id, Owner: owner.name, Host: strings.TrimPrefix(owner.host, "/"), Err: err}
}

// readState reads the values of an address that have not expired. Values and expirations are read one after the other, so
// a commit in between would give a value the expiration of another: then both are read again.
func (w *Worker) readState(ctx context.Context, id int32, a protocol.Address, specs []protocol.StateSpec) (map[string]state.Value, error) {
	for ctx.Err() == nil {
		rows, err := w.readValues(id, a)
		if err != nil {
			return nil, err
		}
		values := make(map[string]state.Value, len(rows))
		for name, row := range rows {
			stamp, err := w.store.Get(id, state.ExpiryKey(a, name))
			if err != nil {
				return nil, err
			}
			gone, err := expired(stamp, name, specs, time.Now())
			if err != nil {
				return nil, err
			}
			if gone {
				continue
			}
			if values[name], err = state.ParseValue([]byte(row)); err != nil {
				return nil, err
			}
		}
		again, err := w.readValues(id, a)
		if err != nil || maps.Equal(rows, again) {
			return values, err
		}
	}
	return nil, ctx.Err()
}

// readValues reads the rows of all values of an address, by their names.
func (w *Worker) readValues(id int32, a protocol.Address) (map[string]string, error) {
	rows := map[string]string{}
	from, to := state.PrefixRange(state.ValuePrefix(a))
	err := w.store.Scan(id, from, to, 0, func(key, value []byte) error {
		_, name, err := state.ParseValueKey(key)
		rows[name] = string(value)
		return err
	})
	return rows, err
}

// expired tells whether a value has expired. As in a call, its stamp counts for as long as the function declares an
// expiration. What a function declares that was not called since the start is not known; then the stamp counts too.
func expired(stamp []byte, name string, specs []protocol.StateSpec, now time.Time) (bool, error) {
	keeps := func(s protocol.StateSpec) bool { return s.Name == name && s.Mode == protocol.ExpireNone }
	if stamp == nil || slices.ContainsFunc(specs, keeps) {
		return false, nil
	}
	e, err := state.ParseExpiry(stamp)
	return err == nil && !now.Before(e.At), err
}
