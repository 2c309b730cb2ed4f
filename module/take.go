package module

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// take takes in what a program declares. It is held to the rules that a file's keys are read by, and what is not given
// has the defaults of files.
func (r *reader) take(p Parts) {
	r.problems, r.at = append(r.problems, p.Problems...), p.At
	r.parts = p.Application != nil || len(p.Endpoints)+len(p.Ingresses)+len(p.Egresses)+len(p.Sinks)+len(p.Problems) > 0
	if len(r.loaded) == 0 && !r.parts {
		r.report(Position{}, "neither a module nor a part of one is given", "declare a function and an ingress, or name a module.yaml")
	}
	if p.Application != nil {
		r.takeApplication(*p.Application)
	}
	endpoints, ingresses := r.module.Endpoints, r.module.Ingresses
	for _, e := range p.Endpoints {
		r.takeEndpoint(e)
	}
	for _, in := range p.Ingresses {
		r.takeIngress(in)
	}
	r.lostEndpoints = r.lostEndpoints || p.LostEndpoints || len(r.module.Endpoints) < len(endpoints)+len(p.Endpoints)
	r.lostIngresses = r.lostIngresses || p.LostIngresses || len(r.module.Ingresses) < len(ingresses)+len(p.Ingresses)
	for _, e := range p.Egresses {
		r.takeEgress(e)
	}
	for _, s := range p.Sinks {
		r.takeSink(s)
	}
}

// blame notes a problem of a part when something is wrong with it.
func (r *reader) blame(at Position, part string, err error) {
	if err != nil {
		r.report(at, part+": "+err.Error(), "")
	}
}

func (r *reader) takeApplication(a Application) {
	blame := func(err error) { r.blame(a.Position, "application", err) }
	if a.ID != "" {
		_, err := parseApplicationID(a.ID)
		blame(err)
	}
	if a.Brokers != "" {
		_, err := parseBrokers(a.Brokers)
		blame(err)
	}
	if a.DeadLetter.Topic != "" {
		_, err := parseTopic(a.DeadLetter.Topic)
		blame(err)
	}
	blame(within("partitions", a.Partitions, span{0, maxPartitions}))
	blame(within("standby replicas", a.StandbyReplicas, span{0, maxStandbys}))
	blame(within("commit interval", a.CommitInterval, span{0, math.MaxInt64}))
	a.GroupProtocol = cmp.Or(a.GroupProtocol, GroupClassic)
	blame(oneOf("group protocol", a.GroupProtocol, GroupClassic, GroupConsumer))
	a.Limits = a.Limits.complete()
	blame(a.Limits.check())
	r.declareApplication(a)
}

// complete puts the defaults in the place of what is not given.
func (l Limits) complete() Limits {
	return Limits{
		ReadBudgetBytes:    cmp.Or(l.ReadBudgetBytes, defaultLimits.ReadBudgetBytes),
		RecordsPerSource:   cmp.Or(l.RecordsPerSource, defaultLimits.RecordsPerSource),
		InputsPerAddress:   cmp.Or(l.InputsPerAddress, defaultLimits.InputsPerAddress),
		PendingBytes:       cmp.Or(l.PendingBytes, defaultLimits.PendingBytes),
		PendingFull:        cmp.Or(l.PendingFull, defaultLimits.PendingFull),
		AnswerBytes:        cmp.Or(l.AnswerBytes, defaultLimits.AnswerBytes),
		TransactionBytes:   cmp.Or(l.TransactionBytes, defaultLimits.TransactionBytes),
		TransactionEffects: cmp.Or(l.TransactionEffects, defaultLimits.TransactionEffects),
		InFlight:           cmp.Or(l.InFlight, defaultLimits.InFlight),
		BatchBytes:         cmp.Or(l.BatchBytes, defaultLimits.BatchBytes),
		OutboxRows:         cmp.Or(l.OutboxRows, defaultLimits.OutboxRows),
		OutboxBytes:        cmp.Or(l.OutboxBytes, defaultLimits.OutboxBytes),
		StateCacheBytes:    cmp.Or(l.StateCacheBytes, defaultLimits.StateCacheBytes),
	}
}

// check looks at limits that no key of a file was read for.
func (l Limits) check() error {
	least := min(l.ReadBudgetBytes, l.PendingBytes, l.AnswerBytes, l.TransactionBytes, l.BatchBytes, l.OutboxBytes, l.StateCacheBytes,
		int64(l.RecordsPerSource), int64(l.InputsPerAddress), int64(l.TransactionEffects), int64(l.InFlight), int64(l.OutboxRows))
	if least < 0 {
		return fmt.Errorf("a limit is %d: limits are positive, and 0 stands for the default", least)
	}
	return oneOf("what happens when the pending inputs reach their limit", l.PendingFull, PendingPause, PendingDeadLetter)
}

func (r *reader) takeEndpoint(e Endpoint) {
	blame := func(err error) { r.blame(e.Position, "functions "+e.Functions.String(), err) }
	if _, err := ParsePattern(e.Functions.String()); err != nil {
		r.blame(e.Position, "functions", err)
		return
	}
	blame(within("attempts", e.MaxAttempts, span{0, math.MaxInt32}))
	blame(oneOf("what happens on failure", e.OnFailure, FailureRetry, FailureDeadLetter, FailureSkip))
	blame(oneOf("transport", e.Transport.Kind, TransportOkHTTP, TransportAsync, TransportInProcess))
	if e.Transport.Kind == TransportInProcess {
		blame(within("time-out of a call", e.Transport.Call, span{0, math.MaxInt64}))
		if e.URLPathTemplate != "" {
			r.report(e.Position, fmt.Sprintf("functions %s: are called in this program and have the URL %s", e.Functions, e.Shown()), "take one of both away")
		}
	} else {
		blame(e.Transport.check())
		r.takeURL(e)
	}
	for i, s := range e.States {
		if s.Name == "" || slices.ContainsFunc(e.States[:i], func(other protocol.StateSpec) bool { return other.Name == s.Name }) {
			r.report(e.Position, fmt.Sprintf("functions %s: state %q is declared twice or has no name", e.Functions, s.Name), "")
		}
	}
	r.declareEndpoint(e)
}

func (r *reader) takeURL(e Endpoint) {
	if e.URLPathTemplate == "" {
		r.report(e.Position, fmt.Sprintf("functions %s: have no URL", e.Functions), "give one, such as http://functions:8000/statefun")
		return
	}
	if hint, err := e.checkURL(); err != nil {
		r.report(e.Position, fmt.Sprintf("functions %s: %v", e.Functions, err), hint)
	}
}

// check looks at a transport over HTTP that no key of a file was read for.
func (t *Transport) check() error {
	switch {
	case t.Call <= 0 || t.Connect <= 0:
		return fmt.Errorf("the time-outs of a call (%v) and of its connection (%v) must be positive", t.Call, t.Connect)
	case t.Kind == TransportOkHTTP && (t.Read <= 0 || t.Write <= 0):
		return fmt.Errorf("the time-outs of reading (%v) and writing (%v) must be positive", t.Read, t.Write)
	case t.Kind == TransportOkHTTP && max(t.Connect, t.Read, t.Write) > t.Call:
		return fmt.Errorf("a time-out of %v is longer than that of the whole call, %v", max(t.Connect, t.Read, t.Write), t.Call)
	case t.PoolSize <= 0:
		return fmt.Errorf("the pool has %d connections: give at least 1", t.PoolSize)
	case t.PayloadMaxBytes < 0:
		return fmt.Errorf("answers have at most %d bytes: give a positive number", t.PayloadMaxBytes)
	case (t.ClientCert == "") != (t.ClientKey == ""):
		return fmt.Errorf("of the client's certificate (%q) and its key (%q) one is missing: give both or none", t.ClientCert, t.ClientKey)
	}
	return nil
}

func (r *reader) takeEgress(e Egress) {
	if !r.named(e.Position, "egress", e.ID) {
		return
	}
	e.Semantic = cmp.Or(e.Semantic, SemanticAtLeastOnce)
	r.blame(e.Position, "egress "+e.ID.String(), oneOf("delivery semantic", e.Semantic, SemanticAtLeastOnce, SemanticExactlyOnce, SemanticNone))
	r.blame(e.Position, "egress "+e.ID.String(), within("transaction time-out", e.TransactionTimeout, span{0, math.MaxInt64}))
	r.blame(e.Position, "egress "+e.ID.String(), checkAddress(e.Address))
	r.declareEgress(e)
}

// takeSink keeps the ids of sinks and egresses apart: a message says where it goes by that id alone.
func (r *reader) takeSink(s Sink) {
	if !r.named(s.Position, "sink", s.ID) {
		return
	}
	for _, other := range r.module.Sinks {
		if other.ID == s.ID {
			r.report(s.Position, fmt.Sprintf("sink %s is declared twice, first at %s", s.ID, other.where()), "give it another id")
			return
		}
	}
	for _, other := range r.module.Egresses {
		if other.ID == s.ID {
			r.report(s.Position, fmt.Sprintf("sink %s has the id of an egress, declared at %s", s.ID, other.where()), "give it another id")
			return
		}
	}
	r.module.Sinks = append(r.module.Sinks, s)
}

// named reports whether a part has a name that a file could give it, and notes a problem if not.
func (r *reader) named(at Position, part string, id protocol.TypeName) bool {
	parsed, err := protocol.ParseTypeName(id.String())
	if err == nil && parsed != id {
		err = fmt.Errorf("%q has its / in the wrong place", id)
	}
	r.blame(at, part, err)
	return err == nil
}

func checkAddress(address string) error {
	if address == "" {
		return nil // the application's cluster
	}
	_, err := parseBrokers(address)
	return err
}

func within[N int | time.Duration](what string, n N, s span) error {
	if int64(n) < s.from || int64(n) > s.to {
		return fmt.Errorf("%s: %v is not between %d and %d", what, n, s.from, s.to)
	}
	return nil
}

func oneOf(what, word string, words ...string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return fmt.Errorf("%s: %q is unknown: use %s", what, word, choice(words))
}
