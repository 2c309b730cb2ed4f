package module

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/naming"
)

// The application's cluster has its topics, its group and its transactions. Which one it is, in this order:
//
//	--brokers                        where it is reached, whatever the module says
//	brokers of the application       its address in the module
//	the address of all ingresses     when they share one
//
// An ingress or egress without an address, or with that of the application's cluster, belongs there; any other address is
// another cluster. Addresses are compared as sets of host:port, without a look at the network.
//
// --brokers that name an address of the module mean that cluster and no other. Brokers that the module names nowhere are
// the application's cluster under the addresses of where the worker runs: they stand in place of its address in the
// module, so that a module can be taken from one place to another.

// SourceName is what the application calls a topic of the ingress in its own state. A topic of another cluster carries the
// ingress' id, since two clusters may have topics of one name; no topic name has a colon.
func (in *Ingress) SourceName(topic string) string {
	if in.Elsewhere == nil {
		return topic
	}
	return in.ID.String() + ":" + topic
}

// IsForeign tells whether a name that SourceName gave is one of a topic of another cluster.
func IsForeign(sourceName string) bool { return strings.Contains(sourceName, ":") }

// brokerList splits a list of bootstrap servers into a set: sorted, each once, host names in lower case.
func brokerList(address string) []string {
	var brokers []string
	for b := range strings.SplitSeq(address, ",") {
		if b = strings.ToLower(strings.TrimSpace(b)); b != "" {
			brokers = append(brokers, b)
		}
	}
	slices.Sort(brokers)
	return slices.Compact(brokers)
}

func parseBrokers(s string) (string, error) {
	if len(brokerList(s)) == 0 {
		return "", errors.New("names no broker: write host:port")
	}
	return s, nil
}

// clusters settles the application's cluster and which ingresses and egresses are of another one.
func (r *reader) clusters() {
	m := r.module
	given := brokerList(strings.Join(r.opt.Brokers, ","))
	own, differ := brokerList(m.Application.Brokers), ""
	if own == nil {
		own, differ = r.sharedAddress(len(given) > 0)
	}
	named := false // --brokers, by the module
	r.eachAddress(func(address []string, _ Position) []string {
		named = named || len(given) > 0 && slices.Equal(address, given)
		return nil
	})
	m.Brokers = given
	switch {
	case len(given) == 0:
		m.Brokers = own
	case named || own == nil:
		own = given
	}
	if len(m.Brokers) == 0 && r.parts && !r.lostIngresses { // in a file the address is a key that must be there
		r.report(r.whole(), "no Kafka brokers are given", "give "+naming.Cluster.String()+", or a module with an address")
	}
	if r.opt.OneCluster || len(m.Brokers) == 0 {
		return
	}
	r.eachAddress(func(address []string, _ Position) []string {
		if len(address) == 0 || slices.Equal(address, own) {
			return nil
		}
		return address
	})
	if differ != "" {
		r.report(r.whole(), "the ingresses name several Kafka clusters ("+differ+"): which of them is the application's?",
			"write brokers: host:port in a document of kind "+kindApplication+", or give "+naming.Brokers.String())
	}
}

// eachAddress visits the addresses of all ingresses and egresses, and notes what visit returns as another cluster.
func (r *reader) eachAddress(visit func(address []string, at Position) (elsewhere []string)) {
	for i := range r.module.Ingresses {
		in := &r.module.Ingresses[i]
		in.Elsewhere = visit(brokerList(in.Address), in.Position)
	}
	for i := range r.module.Egresses {
		e := &r.module.Egresses[i]
		e.Elsewhere = visit(brokerList(e.Address), e.Position)
	}
}

// sharedAddress is the address of all ingresses, or of all egresses when no ingress has one. Of ingresses that differ it is
// the first one, with where they differ; nil when the brokers are given, which are the application's then.
func (r *reader) sharedAddress(given bool) (shared []string, differ string) {
	var first Position
	for _, in := range r.module.Ingresses {
		address := brokerList(in.Address)
		switch {
		case len(address) == 0:
		case shared == nil:
			shared, first = address, in.Position
		case !slices.Equal(shared, address) && differ == "":
			differ = fmt.Sprintf("%s of %s, %s of %s", strings.Join(shared, ","), first.where(), strings.Join(address, ","), in.where())
		}
	}
	if differ != "" && given {
		return nil, ""
	}
	for i := 0; shared == nil && !given && i < len(r.module.Egresses); i++ {
		shared = brokerList(r.module.Egresses[i].Address)
	}
	return shared, differ
}

// Notes are what somebody should know who runs the module, and which is not wrong with it: what is on other clusters.
func (m *Module) Notes() (notes []Problem) {
	for _, in := range m.Ingresses {
		if in.Elsewhere != nil {
			notes = append(notes, Problem{Position: in.Position, Message: fmt.Sprintf("ingress %s is read from another cluster, %s: how far it is read is kept in the application's own state, not in a group's offsets there",
				in.ID, strings.Join(in.Elsewhere, ","))})
		}
	}
	for _, e := range m.Egresses {
		if e.Elsewhere != nil {
			notes = append(notes, Problem{Position: e.Position, Message: fmt.Sprintf("egress %s writes to another cluster, %s: at least once, after the commit; the header statefun-outbox-id is the same in each copy of a record",
				e.ID, strings.Join(e.Elsewhere, ","))})
		}
	}
	SortProblems(notes)
	return notes
}
