package task

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// waitingAddresses gives a task for which that many addresses wait, each with one input of 100 bytes that is a row.
// The ready queue is as a worker has it.
func waitingAddresses(n int, onDisk bool) (*Task, []*Mailbox) {
	const portion = 1000
	ready := make([]*Mailbox, 0, n)
	t := New(Config{Store: memory{}, Registry: NewRegistry(), Ready: func(m *Mailbox) { ready = append(ready, m) }, Held: func(int64) {}})
	if err := t.Restore(1); err != nil {
		panic(err)
	}
	commit := func() {
		t.Cut("worker/nonce/1", time.UnixMilli(1000))
		t.Committed()
	}
	for i := range n {
		// As a worker that reads it from a mailbox, or from an answer: the three texts of an address lie in one memory.
		e, err := protocol.ParseEnvelope(protocol.AppendEnvelope(nil, protocol.Envelope{Target: waitingAddress(i)}))
		if err != nil {
			panic(err)
		}
		e.Invocation = make([]byte, 100)
		t.Deliver(e, 1000)
		if onDisk {
			t.Hold(ready[i])
		}
		if i%portion == portion-1 {
			commit()
		}
	}
	for range 3 { // what the overlay keeps of the last transactions is no address'
		commit()
	}
	return t, ready
}

// heapOf is the live heap that building leaves for each of n addresses.
func heapOf(n int, build func() (*Task, []*Mailbox)) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	t, ready := build()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(t)
	runtime.KeepAlive(ready)
	return (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(n)
}

// rowsOnly is a store of pending rows, one an address.
type rowsOnly struct {
	memory
	n int
}

// Scan is Store's.
func (s rowsOnly) Scan(from, _ []byte, _ int, visit func(key, value []byte) error) error {
	for i := range s.n {
		target := waitingAddress(i)
		key := pendingKey(target, uint64(i+1))
		if from[0] != key[0] {
			return nil // delayed messages
		}
		if err := visit(key, pendingRow(target, make([]byte, 100), 1000)); err != nil {
			return err
		}
	}
	return nil
}

// restoredAddresses gives a task that was restored with that many addresses.
func restoredAddresses(n int) (*Task, []*Mailbox) {
	ready := make([]*Mailbox, 0, n)
	t := New(Config{Store: rowsOnly{n: n}, Registry: NewRegistry(), Ready: func(m *Mailbox) { ready = append(ready, m) }, Held: func(int64) {}})
	t.limits.restoredBytes = 0
	if err := t.Restore(int64(n + 1)); err != nil {
		panic(err)
	}
	return t, ready
}

func waitingAddress(i int) protocol.Address {
	return protocol.Address{Type: protocol.TypeName{Namespace: "example", Name: "counter"}, ID: fmt.Sprintf("user-%08d", i)}
}

// BenchmarkWaitingAddress reports what an address that waits holds of the heap.
func BenchmarkWaitingAddress(b *testing.B) {
	const addresses = 1_000_000
	for name, onDisk := range map[string]bool{"its input in memory": false, "its input only on disk": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(heapOf(addresses, func() (*Task, []*Mailbox) { return waitingAddresses(addresses, onDisk) }), "B/address")
			}
		})
	}
}

// TestAWaitingAddressIsSmall holds what the limits count against the heap: of the number of addresses here the map of a
// function has the most room to spare.
func TestAWaitingAddressIsSmall(t *testing.T) {
	const addresses = 120_000
	// One that waits on disk has an entry, and the map may have a little more room to spare.
	onDisk, inMemory := entryCost*1.05, float64(entryCost+(&input{invocation: make([]byte, 100)}).cost())
	if got := heapOf(addresses, func() (*Task, []*Mailbox) { return waitingAddresses(addresses, true) }); got > onDisk {
		t.Errorf("an address whose input is only on disk holds %.0f bytes, counted are %d", got, entryCost)
	}
	if got := heapOf(addresses, func() (*Task, []*Mailbox) { return restoredAddresses(addresses) }); got > onDisk {
		t.Errorf("an address that was restored holds %.0f bytes, counted are %d", got, entryCost)
	}
	if got := heapOf(addresses, func() (*Task, []*Mailbox) { return waitingAddresses(addresses, false) }); got > inMemory {
		t.Errorf("an address with an input in memory holds %.0f bytes, counted are %.0f", got, inMemory)
	}
}

func TestAStormThatIsOverLeavesNoMemory(t *testing.T) {
	const addresses = 120_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	k, ready := waitingAddresses(addresses, false)
	for i, m := range ready {
		c := must(k.Take(m, 1, 100, time.UnixMilli(1000)))
		if err := k.Apply(c, &Effects{}, time.UnixMilli(1000)); err != nil {
			t.Fatal(err)
		}
		if ready[i] = nil; i%1000 == 0 {
			k.Cut("worker/nonce/1", time.UnixMilli(1000))
			k.Committed()
		}
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if k.Addresses() != 0 {
		t.Fatalf("%d addresses are left", k.Addresses())
	}
	// The overlay keeps the memory of its largest transaction: rows and their index.
	if left := int64(after.HeapAlloc) - int64(before.HeapAlloc); left > 4<<20 {
		t.Errorf("%d bytes are left of %d addresses that are done", left, addresses)
	}
}

// An endpoint of a whole namespace serves whatever function a message names.
func TestFunctionsThatAreNamedOnceLeaveNoMemory(t *testing.T) {
	w := newWorld()
	for i := range 4 * typesKept {
		to := protocol.Address{Type: protocol.TypeName{Namespace: "ns", Name: fmt.Sprint("f", i)}, ID: "a"}
		w.task.Deliver(message(to, nil, "m"), w.millis())
		c := must(w.task.Take(w.task.find(to), 1, 100, w.now))
		if err := w.task.Apply(c, &Effects{}, w.now); err != nil {
			t.Fatal(err)
		}
	}
	types := 0
	w.task.Backlog(func(fn protocol.TypeName, inputs int) {
		if types++; inputs != 0 {
			t.Errorf("%d inputs of %s are left", inputs, fn)
		}
	})
	if types > typesKept {
		t.Errorf("%d functions are kept, of which nothing waits", types)
	}
}

// waitingFor is a world in which an address weighs when two others wait.
func waitingFor(t *testing.T, names ...string) *world {
	w := newWorld()
	w.limits.addresses = 2
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		w.task.Deliver(message(address(name), nil, "m"), w.millis())
	}
	return w
}

// toDisk lets all inputs leave memory.
func (w *world) toDisk(t *testing.T) {
	for m := range w.task.all() {
		w.task.Hold(m)
	}
	if err := w.commit(nil); err != nil {
		t.Fatal(err)
	}
}

func TestAddressesBeyondTheirLimitWeighInTheReadBudgetThoughTheirInputsAreOnDisk(t *testing.T) {
	w := waitingFor(t, "f/a", "f/b", "g/c", "f/d", "f/d")
	w.toDisk(t)
	if w.task.Addresses() != 4 || w.held != 2*entryCost {
		t.Fatalf("%d addresses wait with all inputs on disk, %d bytes are held; two weigh %d", w.task.Addresses(), w.held, 2*entryCost)
	}
	if err := w.start(); err != nil { // which also looks whether the old task gave all of it back
		t.Fatal(err)
	}
	w.toDisk(t)
	if w.held != 2*entryCost {
		t.Fatalf("after a restore %d bytes are held; two addresses weigh %d", w.held, 2*entryCost)
	}
	for i, want := range []int64{entryCost, 0, 0, 0} {
		name := []string{"f/a", "g/c", "f/d", "f/b"}[i]
		c := must(w.task.Take(w.task.find(address(name)), 10, 1000, w.now))
		if err := w.task.Apply(c, &Effects{}, w.now); err != nil {
			t.Fatal(err)
		}
		if w.held != want {
			t.Fatalf("%s is done, %d bytes are held, not %d", name, w.held, want)
		}
	}
}

func TestReliefDoesNotLookForInputsAmongEntries(t *testing.T) {
	w := waitingFor(t, "f/a", "f/b", "f/c")
	w.toDisk(t)
	w.task.Deliver(message(address("f/d"), nil, "m"), w.millis())
	if found := w.task.Relieve(100 * entryCost); found != 0 {
		t.Errorf("for %d bytes of entries all addresses were looked at, to free %d", 100*entryCost, found)
	}
	if found := w.task.Relieve(entryCost); found == 0 {
		t.Error("an input that is worth it was not found")
	}
}

func TestTheDocumentTellsWhatWaitingAddressesWeigh(t *testing.T) {
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("| addresses that wait, in memory or on disk, before they weigh | %d,%03d a partition |", defaultLimits.addresses/1000, defaultLimits.addresses%1000)
	if !strings.Contains(string(text), want) {
		t.Errorf("docs/limits.md lacks %q", want)
	}
	if want = fmt.Sprintf("each further one takes %d bytes of `readBudget`", entryCost); !strings.Contains(string(text), want) {
		t.Errorf("docs/limits.md lacks %q", want)
	}
}
