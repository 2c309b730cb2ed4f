package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/test/chaos/audit"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// sink is the callback of a program. What it gets goes to a file to which all processes append, so that its lines have one
// order, that of the deliveries; a written line outlives its process.
type sink struct {
	file *os.File
	by   string
	mood func() string
}

func openSink(path, by string, mood func() string) (*sink, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the file of the sink: %w", err)
	}
	return &sink{file: file, by: by, mood: mood}, nil
}

// sinkFailsOneIn is how many deliveries there are to one that fails before it is written down, and to one that fails behind
// that; under the mood in which answers are lost it is lostInProcessOf.
const sinkFailsOneIn = 400

// deliver writes a delivery down. Some fail, and come again.
func (s *sink) deliver(ctx context.Context, d embedded.Delivery[history.Entry]) error {
	failsOneIn := sinkFailsOneIn
	switch s.mood() {
	case moodSlow:
		process.Pause(ctx, rand.N(slowest/50))
	case moodTwice:
		failsOneIn = lostInProcessOf
	case moodHang:
		for s.mood() == moodHang && process.Pause(ctx, 20*time.Millisecond) {
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	switch rand.IntN(2 * failsOneIn) {
	case 0:
		panic("a panic before the delivery is written down")
	case 1:
		return errors.New("the delivery fails before it is written down")
	}
	line, err := json.Marshal(audit.Delivery{ID: d.ID, Sender: d.Sender, Value: d.Value, By: s.by})
	if err != nil {
		return err
	}
	// One write: others append to the file meanwhile. A line begins with its end so that one that a kill cuts off spoils none.
	if _, err := s.file.Write(append(append([]byte{'\n'}, line...), '\n')); err != nil {
		return err
	}
	if rand.IntN(failsOneIn) == 0 {
		return errors.New("the delivery is written down, and fails")
	}
	return nil
}

// deliveries follows the file of the sinks.
type deliveries struct {
	path string
	at   int64 // what is before it was read

	list []audit.Delivery
	got  map[place]bool
	torn int       // lines that a kill has cut off
	last time.Time // when the last new value was seen
}

// place is that of an entry in the life of its address.
type place struct {
	address string
	seq     int64
}

func newDeliveries(path string) *deliveries {
	return &deliveries{path: path, got: map[place]bool{}, last: time.Now()}
}

// read reads on.
func (d *deliveries) read() error {
	file, err := os.Open(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the sinks got: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(d.at, io.SeekStart); err != nil {
		return fmt.Errorf("read what the sinks got: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read what the sinks got: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // what has no end yet is read again
	d.at += int64(len(text))
	for line := range bytes.Lines(text) {
		d.add(bytes.TrimSpace(line))
	}
	return nil
}

func (d *deliveries) add(line []byte) {
	if len(line) == 0 {
		return
	}
	var one audit.Delivery
	if json.Unmarshal(line, &one) != nil {
		d.torn++
		return
	}
	d.list = append(d.list, one)
	if at := (place{one.Value.Address, one.Value.Seq}); !d.got[at] {
		d.got[at], d.last = true, time.Now()
	}
}

// awaitSink waits until the sink has got every committed entry. When nothing moves any more it gives up, as awaitAll does.
func (r *run) awaitSink(ctx context.Context) bool {
	if r.deliveries == nil {
		return true
	}
	began := time.Now()
	for {
		if err := r.deliveries.read(); err != nil {
			r.fail(err)
			return false
		}
		list, _ := r.entries.all() // an error of it is told by settle
		missing := len(list) - len(r.deliveries.got)
		if missing <= 0 {
			r.note("the sink has it all %v later", time.Since(began).Round(time.Millisecond))
			return true
		}
		if min(time.Since(r.deliveries.last), time.Since(began)) > hangLimit {
			r.violate("hang", "%d entries have not come to the sink, where nothing had come for %v", missing, hangLimit)
			r.dumpWorkers()
			return false
		}
		if !process.Pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
}

// checkSink holds what the sink got against the entries.
func (r *run) checkSink(list []history.Entry, f *figures) error {
	if r.deliveries == nil {
		return nil
	}
	if err := r.deliveries.read(); err != nil {
		return err
	}
	report := audit.CheckSink(list, r.deliveries.list)
	for _, v := range report.Violations {
		r.violate(string(v.Rule), "%s", v.Text)
	}
	f.Delivered, f.Again = report.Deliveries, report.Again
	r.note("the sink got %d deliveries, %d of them again, %d lines are cut off", report.Deliveries, report.Again, r.deliveries.torn)
	return nil
}
