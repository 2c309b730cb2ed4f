package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// The function under test: what an input sends is a pure function of its id, so every input that must be processed
// is known. The state of an address is the list of the inputs that it has processed.

type childKind int

const (
	sent childKind = iota
	delayed
	cancelled // a delayed message that is cancelled long before it is due
)

type child struct {
	id   string
	to   int
	kind childKind
}

func hash(s string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(s))
	return int(h.Sum32()>>3) % n
}

func address(a int) string { return fmt.Sprint("a", a) }

func addressOf(id string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(id, "a"))
	return n
}

// children are what the function at an address sends for an input.
func children(id string, self int) (cs []child) {
	depth := strings.Count(id, ".")
	if depth >= 2 {
		return nil
	}
	for i := range []int{0, 1, 2, 1}[hash(id, 4)] {
		c := fmt.Sprint(id, ".", i)
		cs = append(cs, child{c, hash(c+"to", simAddresses), sent})
	}
	switch hash(id+"delay", 6) {
	case 0:
		c := id + ".d"
		cs = append(cs, child{c, hash(c+"to", simAddresses), delayed})
	case 1: // cancelled in the same answer
		c := id + ".c"
		cs = append(cs, child{c, hash(c+"to", simAddresses), cancelled})
	case 2: // cancelled by a message to itself
		cs = append(cs, child{id + ".c", hash(id, simAddresses), cancelled}, child{id + ".x", self, sent})
	}
	return cs
}

var errFlaky = errors.New("the function is unwell")

func (s *sim) function(ctx context.Context, fn protocol.TypeName, request []byte) ([]byte, error) {
	call, err := parseCall(request)
	if err != nil {
		return nil, err
	}
	if !call.knows("list") || !call.knows("count") {
		return missing("list", "count"), nil
	}
	turn := s.mood.Add(1)
	switch turn % 61 {
	case 0:
		return nil, errFlaky
	case 7:
		select {
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case 13:
		return []byte{0xff, 0xff, 0xff}, nil // garbage
	}
	return s.answer(&call, turn), nil
}

// answer tells of each input its place among those of the address, and the call, by which one attempt is told from the
// next: of two only one may show anywhere.
func (s *sim) answer(call *callOf, turn int64) []byte {
	var a reply
	list := string(call.states["list"])
	n, _ := strconv.Atoi(string(call.states["count"]))
	self := addressOf(call.target.ID)
	for _, argument := range call.arguments {
		id := string(argument)
		n++
		if list != "" {
			list += ","
		}
		list += id
		value := fmt.Sprint(id, "@", n, "#", turn)
		a.egress("test/out", "out", call.target.ID, value)
		if s.shape.sink {
			a.value(testSink, "test/alarm", value)
		}
		if s.shape.far {
			a.egress("test/far", "out", call.target.ID, value)
		}
		a.emit(id, self, call.target.Type)
		if parent, is := strings.CutSuffix(id, ".x"); is {
			a.cancel(parent + ".c")
		}
	}
	a.set("list", list)
	a.set("count", fmt.Sprint(n))
	return a.bytes()
}

// emit sends the children of an input.
func (r *reply) emit(id string, self int, fn protocol.TypeName) {
	for _, c := range children(id, self) {
		to := protocol.Address{Type: fn, ID: address(c.to)}
		switch c.kind {
		case sent:
			r.send(to, c.id)
		case delayed:
			r.delay(to, c.id, hash(c.id, 40), "")
		case cancelled:
			r.delay(to, c.id, 3_600_000, c.id)
		}
		if c.kind == cancelled && hash(id+"delay", 6) == 1 {
			r.cancel(c.id)
		}
	}
}
