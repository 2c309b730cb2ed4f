// Package kafka opens clients from addresses and Java property names.
//
// Modules configure Kafka with the names of the Java clients. Each name is mapped to the Go client,
// checked, or ignored for a reason that is told; a name that Kafka does not have is a problem.
// Values of secrets are never part of an error, a warning or a printed Settings.
package kafka

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
)

// Settings say how clients are opened. They hold secrets only inside the client's options, which do not print.
type Settings struct {
	brokers  []string
	opts     []kgo.Opt
	warnings []module.Problem
	session  time.Duration
}

// NewSettings turns Java properties into the settings of clients; of a name given twice the later one counts.
// Key and trust stores are read. The error is of type module.Errors and holds all problems of all properties.
func NewSettings(brokers []string, props []module.Property) (Settings, error) {
	d := newDraft(props)
	d.properties(props)
	d.connect()
	if len(brokers) == 0 {
		brokers = d.brokers
	}
	if len(brokers) == 0 {
		d.problem(module.Property{}, "no broker is named", "give "+naming.Brokers.String()+", or an address in the module")
	}
	if len(d.problems) > 0 {
		module.SortProblems(d.problems)
		return Settings{}, module.Errors(d.problems)
	}
	module.SortProblems(d.warnings)
	return Settings{brokers: slices.Clone(brokers), opts: d.opts, warnings: d.warnings, session: d.session}, nil
}

// Open opens a client; the given options win over the properties. Nothing is sent to a broker yet.
func (s Settings) Open(opts ...kgo.Opt) (*kgo.Client, error) {
	all := append([]kgo.Opt{kgo.SeedBrokers(s.brokers...), kgo.MetadataMinAge(leaderLook), kgo.FetchMaxWait(fetchWait)}, s.With(opts...).opts...)
	client, err := kgo.NewClient(all...)
	if err != nil {
		return nil, fmt.Errorf("open a client of %s: %w", strings.Join(s.brokers, ","), err)
	}
	return client, nil
}

// With returns settings with further options, which win over those before.
func (s Settings) With(opts ...kgo.Opt) Settings {
	s.opts = slices.Concat(s.opts, opts)
	return s
}

// Brokers returns the bootstrap addresses.
func (s Settings) Brokers() []string { return slices.Clone(s.brokers) }

// SessionTimeout returns session.timeout.ms, 0 when it is not given.
func (s Settings) SessionTimeout() time.Duration { return s.session }

// Warnings tells which properties have no effect, and why.
func (s Settings) Warnings() []string {
	var lines []string
	for _, w := range s.warnings {
		lines = append(lines, w.Error())
	}
	return lines
}

// String names the brokers only; the rest may be secret.
func (s Settings) String() string { return "kafka at " + strings.Join(s.brokers, ",") }

// GoString is String, so that %#v shows no more.
func (s Settings) GoString() string { return s.String() }
