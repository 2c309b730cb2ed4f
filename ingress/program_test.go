package ingress

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func routedBy(maxBytes int, forward bool, route Route) *Decoder {
	in := &module.Ingress{ID: protocol.TypeName{Namespace: "app", Name: "in"}, Routed: true}
	d := NewDecoder(in, &module.IngressTopic{Topic: "names", ForwardHeaders: forward}, func(fn protocol.TypeName) bool { return fn != nobody }, maxBytes)
	d.RouteBy(route)
	return d
}

func at(fn protocol.TypeName, id string) protocol.Address { return protocol.Address{Type: fn, ID: id} }

func TestAProgramsRouteMakesAnyNumberOfMessagesInItsOrder(t *testing.T) {
	argument := protocol.AppendTypedValue(nil, "a/b", []byte("hello"))
	for _, targets := range [][]protocol.Address{nil, {at(greeter, "bob")}, {at(counter, "all"), at(greeter, "bob"), at(counter, "all")}} {
		d := routedBy(0, false, func(r *kgo.Record, to func(protocol.Address, []byte)) error {
			for _, target := range targets {
				to(target, r.Value)
			}
			return nil
		})
		r := record(nil, bytes.Clone(argument))
		first := protocol.Envelope{Target: at(greeter, "before")}
		got, err := d.DecodeTo([]protocol.Envelope{first}, r)
		clear(r.Value)
		want := []protocol.Envelope{first}
		for _, target := range targets {
			want = append(want, protocol.Envelope{Target: target, Invocation: protocol.AppendInvocation(nil, nil, argument)})
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %+v, %v; want %+v", targets, got, err, want)
		}
	}
}

func TestAProgramsRouteSeesRecordsWithoutKeyAndValue(t *testing.T) {
	seen := false
	d := routedBy(0, false, func(r *kgo.Record, _ func(protocol.Address, []byte)) error {
		seen = r.Key == nil && r.Value == nil
		return nil
	})
	if got, err := d.Decode(record(nil, nil)); err != nil || len(got) > 0 || !seen {
		t.Errorf("%v, %v, seen: %v", got, err, seen)
	}
}

func TestHeadersAndOriginAreAddedToWhatAProgramsRouteSends(t *testing.T) {
	r := withHeaders(kgo.RecordHeader{Key: "traceparent", Value: []byte("00-1")})
	own := protocol.AppendTypedValue(nil, "a/b", []byte("hello"))
	for _, forward := range []bool{false, true} {
		got, err := routedBy(0, forward, func(_ *kgo.Record, to func(protocol.Address, []byte)) error {
			to(at(greeter, "bob"), own)
			return nil
		}).Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		want := protocol.AppendIngressInvocation(nil, "a/b", []byte("hello"))
		if forward {
			want = protocol.AppendIngressInvocation(nil, "a/b", []byte("hello"), metadata(r)...)
		}
		if !bytes.Equal(got[0].Invocation, want) {
			t.Errorf("forward %v: %q, want %q", forward, got[0].Invocation, want)
		}
	}
}

func TestARecordThatAProgramsRouteCannotTakeIsInvalidAsAWhole(t *testing.T) {
	argument := protocol.AppendTypedValue(nil, "a/b", []byte("hello"))
	cause := errors.New("no user in it")
	for name, c := range map[string]struct {
		route  func(to func(protocol.Address, []byte)) error
		reason string
		words  string
	}{
		"an error":            {func(func(protocol.Address, []byte)) error { return cause }, Undecodable, "no user in it"},
		"a panic":             {func(func(protocol.Address, []byte)) error { panic("nothing there") }, Undecodable, "its route panicked: nothing there"},
		"an unknown function": {func(to func(protocol.Address, []byte)) error { to(at(nobody, "x"), argument); return nil }, UnknownTarget, "no endpoint serves its target ns/nobody"},
		"no message":          {func(to func(protocol.Address, []byte)) error { to(at(greeter, "x"), []byte{0x0a, 9}); return nil }, Undecodable, "sends ns/greeter/x what is no message"},
		"an id of other text": {func(to func(protocol.Address, []byte)) error { to(at(greeter, "\xff"), argument); return nil }, Undecodable, "not UTF-8"},
		"a large message": {func(to func(protocol.Address, []byte)) error {
			to(at(greeter, "x"), protocol.AppendTypedValue(nil, "a/b", make([]byte, 200)))
			return nil
		}, TooLarge, "over the limit of 100"},
	} {
		t.Run(name, func(t *testing.T) {
			d := routedBy(100, false, func(_ *kgo.Record, to func(protocol.Address, []byte)) error {
				to(at(greeter, "bob"), argument)
				err := c.route(to)
				to(at(greeter, "behind"), argument)
				return err
			})
			got, err := d.DecodeTo(nil, record([]byte("bob"), []byte("hello")))
			var invalid *Invalid
			if !errors.As(err, &invalid) || len(got) > 0 {
				t.Fatalf("%v, %v", got, err)
			}
			if invalid.Reason != c.reason || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), "ingress app/in: record names[3]@41") {
				t.Errorf("%s: %v; want %s, %q", invalid.Reason, err, c.reason, c.words)
			}
			if panicked := invalid.Stack != nil; panicked != (name == "a panic") || panicked && !bytes.Contains(invalid.Stack, []byte("program_test.go")) {
				t.Errorf("the stack is %q", invalid.Stack)
			}
			if name == "an error" && !errors.Is(err, cause) {
				t.Error("the cause is lost")
			}
		})
	}
}
