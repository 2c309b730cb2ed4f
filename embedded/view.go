package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// A View is the committed state of one instance as it was at one moment. [Read] reads it.
type View struct {
	of     statefun.Address
	values worker.View
}

// NotOwned is the error of a view of an instance that another process has. It names that one as far as the consumer group
// tells; how to ask it is the program's own affair.
type NotOwned = worker.NotOwned

// ErrRestoring says that this process owns the instance and is not done restoring its partition: ask again in a moment.
var ErrRestoring = worker.ErrRestoring

// startLook is how often a View looks whether the application has become ready: a worker tells it to nobody.
const startLook = 5 * time.Millisecond

// View reads the state of an instance: what was committed last, never what a transaction has under way, and never old state
// of a partition that this process had before. It is there for instances whose partition this process owns. The error is a
// [*NotOwned] for others, and [ErrRestoring] for a moment after their partition has come here.
//
// Until Run has begun, and the application is [App.Ready] for the first time, View waits. When ctx is done before, the
// error wraps its error and says what was waited for; it is [ErrStopped] when Run has ended.
func (a *App) View(ctx context.Context, of statefun.Address) (View, error) {
	namespace, name, err := of.Type.Split()
	if err != nil {
		return View{}, fmt.Errorf("view %s: %w", of, err)
	}
	if err := a.awaitStart(ctx); err != nil {
		return View{}, fmt.Errorf("view %s: %w", of, err)
	}
	v, err := a.worker.View(ctx, protocol.Address{Type: protocol.TypeName{Namespace: namespace, Name: name}, ID: of.ID})
	switch {
	case errors.Is(err, worker.ErrNotRunning): // it was, so it has ended
		return View{}, fmt.Errorf("view %s: %w", of, ErrStopped)
	case err != nil:
		return View{}, err
	}
	return View{of, v}, nil
}

// awaitStart waits for the first time that the application is ready. After that a partition that comes is told of at once:
// the instance may be asked for elsewhere meanwhile.
func (a *App) awaitStart(ctx context.Context) error {
	if a.started.Load() {
		_, err := a.running()
		return err
	}
	ticker := time.NewTicker(startLook)
	defer ticker.Stop()
	for {
		waited := a.Ready()
		switch {
		case waited == nil:
			a.started.Store(true)
			return nil
		case errors.Is(waited, ErrStopped):
			return waited
		}
		select {
		case <-ticker.C:
		case <-a.ended:
		case <-ctx.Done():
			return fmt.Errorf("the application is not ready: %w: %w", waited, ctx.Err())
		}
	}
}

// Of is the instance that the view is of.
func (v View) Of() statefun.Address { return v.of }

// Empty tells that the instance has no state at all.
func (v View) Empty() bool { return !v.values.Found }

// Read is a value of a view; present tells an absent one, or one that has expired, from a zero one.
func Read[T any](v View, spec *statefun.ValueSpec[T]) (value T, present bool, err error) {
	stored, present := v.values.Values[spec.Name()]
	if !present {
		return value, false, nil
	}
	if stored.Type != string(spec.Type().Name()) {
		return value, true, fmt.Errorf("state %q of %s holds a value of type %s, not %s", spec.Name(), v.of, stored.Type, spec.Type().Name())
	}
	if value, err = spec.Type().Decode(stored.Bytes); err != nil {
		return value, true, fmt.Errorf("state %q of %s: %w", spec.Name(), v.of, err)
	}
	return value, true, nil
}
