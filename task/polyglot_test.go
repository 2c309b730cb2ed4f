package task

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// polyglotWorld is a task with a function of 2.x that has the states a, which expires when it is not used, and b.
func polyglotWorld(t *testing.T) (*Task, *disk, protocol.Address) {
	t.Helper()
	at := address("f/x")
	registry := NewRegistry()
	registry.Declare(at.Type, []protocol.StateSpec{
		{Name: "a", Mode: protocol.ExpireAfterInvoke, ExpireAfter: time.Second}, {Name: "b"},
	})
	d := &disk{rows: map[string][]byte{}}
	return New(Config{Store: d, Registry: registry, Ready: func(*Mailbox) {}, Held: func(int64) {}}), d, at
}

// sent takes the next call of the address and returns its request.
func sent(t *testing.T, k *Task, d *disk, at protocol.Address, now time.Time) (*Call, []byte) {
	t.Helper()
	k.Deliver(protocol.Envelope{Target: at, Invocation: protocol.AppendIngressInvocation(nil, "x/y", []byte("in"))}, now.UnixMilli())
	c, err := k.Take(k.find(at), 10, 1<<20, now)
	if err != nil || c == nil {
		t.Fatalf("%v, %v", c, err)
	}
	if err := c.Complete(d.Get, now); err != nil {
		t.Fatal(err)
	}
	request, err := c.Request(nil, protocol.Generation2)
	if err != nil {
		t.Fatal(err)
	}
	return c, request
}

func TestH5H6A2xFunctionHasTheStatesOfItsModuleAndNoOthers(t *testing.T) {
	k, d, at := polyglotWorld(t)
	now := time.UnixMilli(1_000_000)
	c, request := sent(t, k, d, at, now)
	want := func(a, b []byte) []byte {
		field := func(n byte, v []byte) []byte { return append([]byte{n<<3 | 2, byte(len(v))}, v...) }
		entry := func(name string, v []byte) []byte {
			e := field(1, []byte(name))
			if len(v) > 0 {
				e = append(e, field(2, v)...)
			}
			return field(2, e)
		}
		return append(entry("a", a), entry("b", b)...)
	}
	if !bytes.Contains(request, want(nil, nil)) {
		t.Errorf("request %x has not %x", request, want(nil, nil))
	}
	for _, m := range []protocol.Mutation{{Name: "c", Type: protocol.OpaqueType, Value: []byte("1")}, {Name: "c", Delete: true}} {
		err := k.Check(c, &Effects{Mutations: []protocol.Mutation{m}})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("state %q of %s is not registered", "c", at.Type)) {
			t.Errorf("%+v: %v", m, err)
		}
	}
	writes := Effects{Mutations: []protocol.Mutation{
		{Name: "a", Type: "type.googleapis.com/p.M", Value: []byte("m")}, {Name: "b", Type: protocol.OpaqueType, Value: []byte("plain")},
	}}
	if err := k.Check(c, &writes); err != nil {
		t.Fatal(err)
	}
	if err := k.Apply(c, &writes, now); err != nil {
		t.Fatal(err)
	}
	packed := append([]byte("\x0a\x17type.googleapis.com/p.M"), "\x12\x01m"...)
	if _, request = sent(t, k, d, at, now.Add(time.Second-1)); !bytes.Contains(request, want(packed, []byte("plain"))) {
		t.Errorf("request %x has not %x", request, want(packed, []byte("plain")))
	}
	row, _ := k.overlay.get(valueKey(at, "a"))
	if v, err := state.ParseValue(row); err != nil || v.Type != "type.googleapis.com/p.M" || string(v.Bytes) != "m" {
		t.Errorf("stored %+v, %v", v, err)
	}
}

func TestTheStateOfA2xFunctionExpiresAsDeclared(t *testing.T) {
	k, d, at := polyglotWorld(t)
	now := time.UnixMilli(1_000_000)
	c, _ := sent(t, k, d, at, now)
	writes := Effects{Mutations: []protocol.Mutation{{Name: "a", Type: protocol.OpaqueType, Value: []byte("aaa")}, {Name: "b", Type: protocol.OpaqueType, Value: []byte("bbb")}}}
	if err := k.Apply(c, &writes, now); err != nil {
		t.Fatal(err)
	}
	_, request := sent(t, k, d, at, now.Add(time.Second))
	if bytes.Contains(request, []byte("aaa")) || !bytes.Contains(request, []byte("bbb")) {
		t.Errorf("request %q", request)
	}
}

func TestAStateOf3xThatIsNoProtobufMessageIsNotGivenToA2xFunction(t *testing.T) {
	k, d, at := polyglotWorld(t)
	d.rows[string(valueKey(at, "b"))] = state.AppendValue(nil, state.Value{Type: "io.statefun.types/int", Bytes: []byte{1}})
	now := time.UnixMilli(1_000_000)
	k.Deliver(protocol.Envelope{Target: at, Invocation: protocol.AppendIngressInvocation(nil, "x/y", nil)}, now.UnixMilli())
	c, err := k.Take(k.find(at), 1, 1<<20, now)
	if err != nil {
		t.Fatal(err)
	}
	want := `state "b" of ` + at.String() + ": stored with type io.statefun.types/int by a 3.x function, a 2.x function reads google.protobuf.Any: give the state a new name, or keep the function on a 3.x endpoint"
	if err := c.Complete(d.Get, now); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}
