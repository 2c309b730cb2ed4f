package embedded

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// An Ingress is where records come from: a [TopicIngress] or a [GoIngress].
type Ingress interface {
	source() *source
}

// Ingress adds an ingress. One can be in one application only.
func (a *App) Ingress(in Ingress) {
	a.declare(func(d *draft, at module.Position) {
		if in == nil {
			d.add(at, "the ingress is nil", "")
			d.parts.LostIngresses = true
			return
		}
		s := in.source()
		if !s.owner.CompareAndSwap(nil, a) {
			d.add(at, fmt.Sprintf("ingress %q is added a second time", s.id), "make another one for another application")
			d.parts.LostIngresses = true
			return
		}
		d.sources = append(d.sources, s)
	})
}

// source is what all ingresses have, whatever their records hold.
type source struct {
	id       statefun.TypeName
	typename statefun.TypeName // of the values
	at       module.Position
	topics   []string // none: the one of the application's own
	own      bool
	startup  module.Startup
	forward  bool
	invalid  Policy
	route    ingress.Route       // nil: none was given
	targets  []statefun.TypeName // of the route; nil: it does not tell them
	owner    atomic.Pointer[App]
}

// ingress adds an ingress to the parts of the module.
func (d *draft) ingress(s *source, properties []module.Property) {
	id, err := protocol.ParseTypeName(string(s.id))
	if err != nil {
		d.addError(s.at, "ingress", err)
		d.parts.LostIngresses = true
		return
	}
	in := module.Ingress{ID: id, Routed: true, Startup: s.startup, AutoOffsetReset: "latest", Properties: properties, Position: s.at}
	if s.startup.Kind == module.StartEarliest {
		in.AutoOffsetReset = "earliest"
	}
	t := module.DefaultIngressTopic()
	t.ValueType, t.ForwardHeaders, t.Own, t.Position = string(s.typename), s.forward, s.own, s.at
	if slices.Contains(invalidPolicies, s.invalid) {
		t.Invalid.Type = string(s.invalid)
	}
	for _, err := range s.check() {
		d.addError(s.at, fmt.Sprintf("ingress %q", s.id), err)
	}
	if s.own {
		in.Topics = []module.IngressTopic{t}
	}
	for _, topic := range s.topics {
		t.Topic = topic
		in.Topics = append(in.Topics, t)
	}
	if !s.own && len(in.Topics) == 0 { // its problem is noted
		d.parts.LostIngresses = true
		return
	}
	in.RoutesTo = d.targets(s)
	d.parts.Ingresses = append(d.parts.Ingresses, in)
	d.routes[id] = s.route
}

// invalidPolicies are those of records.
var invalidPolicies = []Policy{DeadLetter, Skip, Fail}

func (s *source) check() (faults []error) {
	if s.typename == "" {
		faults = append(faults, errors.New("the type of its values is none: make it with statefun.JSON, Protobuf, Bytes or NewType"))
	}
	if s.route == nil {
		faults = append(faults, errors.New("the route is nil: give a function that calls Router.Send, or ByKey"))
	}
	if s.targets != nil && len(s.targets) == 0 {
		faults = append(faults, errors.New("ByKey names no function: its records would be dropped"))
	}
	if !s.own && len(s.topics) == 0 {
		faults = append(faults, errors.New("it reads no topic: name at least one"))
	}
	for i, topic := range s.topics {
		if slices.Contains(s.topics[:i], topic) {
			faults = append(faults, fmt.Errorf("topic %s is named twice", topic))
		}
	}
	if s.invalid != "" && !slices.Contains(invalidPolicies, s.invalid) {
		faults = append(faults, fmt.Errorf("OnInvalid(%q): use DeadLetter, Skip or Fail", s.invalid))
	}
	return faults
}

// targets parses the names of a route's targets.
func (d *draft) targets(s *source) (list []protocol.TypeName) {
	for _, name := range s.targets {
		parsed, err := protocol.ParseTypeName(string(name))
		if err != nil {
			d.addError(s.at, fmt.Sprintf("ingress %q: target", s.id), err)
			continue
		}
		list = append(list, parsed)
	}
	return list
}

// open fills a source with the typed route of a program.
func open[T any, R Routing[T]](s *source, id statefun.TypeName, t statefun.Type[T], route R) {
	s.id, s.typename, s.at = id, t.Name(), caller()
	if route == nil {
		return
	}
	if tells, is := any(route).(Keyed[T]); is { // it is ours: no code of the program runs
		_ = tells(Record[T]{}, &Router{targets: &s.targets})
	}
	s.route = func(r *kgo.Record, to func(target protocol.Address, argument []byte)) error {
		if r.Value == nil {
			return errors.New("it has no value (a tombstone)")
		}
		value, err := t.Decode(r.Value)
		if err != nil {
			return err
		}
		router := &Router{to: to, argument: arguments.Get().(*[]byte)}
		defer router.end()
		record := Record[T]{Key: string(r.Key), Value: value, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
			typename: t.Name(), kafka: r}
		if err := route(record, router); err != nil {
			return err
		}
		return router.err
	}
}

// names lists type names for a message.
func names(list []statefun.TypeName) string {
	var text []string
	for _, n := range list {
		text = append(text, string(n))
	}
	return strings.Join(text, ", ")
}
