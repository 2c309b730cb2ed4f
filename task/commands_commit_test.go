package task

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

func (w *world) fail(args []string) error {
	w.task.Failed(w.call(args[0]), w.now.Add(must(time.ParseDuration(args[1]))))
	return nil
}

func (w *world) drop(args []string) error {
	for _, e := range w.task.Drop(w.call(args[0])) {
		w.printf("dropped %s", textOf(e.Invocation))
	}
	return nil
}

func (w *world) giveBack(args []string) error {
	w.task.Return(w.call(args[0]))
	return nil
}

func (w *world) hold(args []string) error {
	for m := range w.task.all() {
		if addressText(m.Address()) == args[0] {
			w.printf("%d inputs", w.task.Hold(m))
		}
	}
	return nil
}

func (w *world) toolarge(args []string) error {
	if !w.task.Halve(w.call(args[0])) {
		w.printf("cannot be halved")
	}
	return nil
}

func (w *world) clock(args []string) error {
	w.now = w.now.Add(must(time.ParseDuration(args[0])))
	w.printf("it is %d", w.millis())
	return nil
}

func (w *world) resume([]string) error { w.task.Resume(w.millis()); return nil }

func (w *world) fire(args []string) error {
	limit := 100
	if len(args) > 0 {
		limit = number(args[0], limit)
	}
	due, err := w.task.Fire(w.millis(), limit)
	for _, e := range due {
		w.printf("fires %s to %s", textOf(e.Invocation), addressText(e.Target))
		w.task.Deliver(e, w.millis())
	}
	return err
}

func (w *world) next([]string) error {
	w.printf("at %d", w.task.NextMillis())
	return nil
}

func (w *world) cut([]string) error {
	if w.cutting {
		return errors.New("one transaction at a time")
	}
	w.cuts++
	w.running, w.cutting = w.task.Cut(fmt.Sprint("w/", w.cuts), w.now).Rows, true
	var rows []string
	for _, r := range w.running {
		rows = append(rows, rowText(r.Key, r.Value))
	}
	slices.Sort(rows)
	for _, r := range rows {
		w.printf("%s", r)
	}
	if w.task.Touched() {
		return errors.New("is touched after its cut")
	}
	return nil
}

func (w *world) stored([]string) error {
	if !w.cutting {
		return errors.New("nothing was cut")
	}
	rows := w.running
	w.running = nil
	return w.disk.apply(rows)
}

func (w *world) committed([]string) error {
	if err := w.stored(nil); err != nil {
		return err
	}
	w.cutting = false
	w.task.Committed()
	return nil
}

func (w *world) commit([]string) error {
	if err := w.cut(nil); err != nil {
		return err
	}
	return w.committed(nil)
}

func (w *world) restore(args []string) error {
	if slices.Contains(args, "fresh") {
		w.registry = NewRegistry()
	}
	return w.start()
}

func (w *world) relieve(args []string) error {
	before := w.held
	found := w.task.Relieve(int64(number(args[0], 0)))
	if w.held != before {
		return errors.New("memory is given back before the commit")
	}
	w.printf("found %d bytes", found)
	return nil
}

func (w *world) unblock(args []string) error {
	plain, values := named(args)
	before := int64(0)
	if values["age"] != "" {
		before = w.now.Add(-must(time.ParseDuration(values["age"]))).UnixMilli()
	}
	w.printf("%d addresses", w.task.Unblock(w.source(plain[0]), number(values["records"], 0), number(values["most"], 1<<30), before))
	return nil
}

func (w *world) sweep([]string) error {
	end, err := w.task.Sweep(w.now)
	w.printf("at the end: %v", end)
	return err
}

func (w *world) isUnserved(args []string) error {
	w.unserved = ""
	if len(args) > 0 {
		w.unserved = args[0]
	}
	return nil
}

func (w *world) setLimits(args []string) error {
	_, values := named(args)
	l := &w.limits
	for name, field := range map[string]*int{
		"timers": &l.timers, "restored": &l.restored, "inputs": &l.inputs, "kept": &l.kept, "addresses": &l.addresses, "swept": &l.swept,
	} {
		*field = number(values[name], *field)
	}
	l.restoredBytes = int64(number(values["bytes"], int(l.restoredBytes)))
	return w.start()
}
