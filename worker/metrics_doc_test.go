package worker

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A described metric is what the document and the code say of one.
type described struct{ kind, labels string }

// ledger keeps the descriptions of everything that is registered, also of what has no value yet.
type ledger struct {
	prometheus.Registerer
	mu   sync.Mutex
	seen map[string]described
}

var descForm = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

func (l *ledger) note(c prometheus.Collector) {
	descs := make(chan *prometheus.Desc, 64)
	c.Describe(descs)
	close(descs)
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range descs {
		parts := descForm.FindStringSubmatch(d.String())
		l.seen[parts[1]] = described{kind: kindOf(c), labels: sortedLabels(strings.Split(parts[2], ","))}
	}
}

// kindOf tells the kind of a metric with labels, which has no value until something happens.
func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	}
	return ""
}

func (l *ledger) Register(c prometheus.Collector) error {
	l.note(c)
	return l.Registerer.Register(c)
}

func (l *ledger) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		l.note(c)
	}
	l.Registerer.MustRegister(all...)
}

func sortedLabels(all []string) string {
	var labels []string
	for _, label := range all {
		if label = strings.Trim(strings.TrimSpace(label), "`"); label != "" {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	return strings.Join(labels, ",")
}

// documented reads the table of docs/metrics.md: name, type, labels, meaning.
func documented(t *testing.T) map[string]described {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]described{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`statefun_") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if _, twice := all[name]; twice {
			t.Errorf("docs/metrics.md lists %s twice", name)
		}
		all[name] = described{kind: strings.TrimSpace(cells[2]), labels: sortedLabels(strings.Split(cells[3], ","))}
	}
	return all
}

func TestEveryMetricIsDocumentedAndEveryDocumentedOneExists(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	book := &ledger{seen: map[string]described{}}
	l.change = func(c *Config) {
		book.Registerer = c.Registerer
		c.Registerer = book
	}
	l.up()
	l.put("in", 0, "a", "r0")
	l.expect("a", "1:r0")
	families, err := l.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[dto.MetricType]string{dto.MetricType_COUNTER: "counter", dto.MetricType_GAUGE: "gauge", dto.MetricType_HISTOGRAM: "histogram"}
	book.mu.Lock()
	defer book.mu.Unlock()
	for _, f := range families {
		d := book.seen[f.GetName()]
		d.kind = kinds[f.GetType()]
		book.seen[f.GetName()] = d
	}
	docs := documented(t)
	for name, want := range book.seen {
		got, is := docs[name]
		switch {
		case !is:
			t.Errorf("docs/metrics.md lacks %s (%s) with the labels [%s]", name, want.kind, want.labels)
		case want.kind != "" && got.kind != want.kind:
			t.Errorf("docs/metrics.md says that %s is a %s, it is a %s", name, got.kind, want.kind)
		case got.labels != want.labels:
			t.Errorf("docs/metrics.md gives %s the labels [%s], it has [%s]", name, got.labels, want.labels)
		}
	}
	for name := range docs {
		if _, is := book.seen[name]; !is {
			t.Errorf("docs/metrics.md lists %s, which no worker has", name)
		}
	}
}

func TestEveryNameOfStateFunHasItsCounterpart(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"in", "in-rate", "out-local", "out-local-rate", "out-remote", "out-remote-rate", "out-egress", "out-egress-rate",
		"inRate", "outLocal", "outLocalRate", "outRemote", "outRemoteRate", "outEgress", "outEgressRate", "numBlockedAddress", "inflightAsyncOps",
		"numBacklog", "numBackLog", "remoteInvocationFailures", "remoteInvocationFailuresRate", "remoteInvocationLatency",
		"functions.inflightAsyncOps", "feedback.produced", "feedback.producedRate",
	} {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not say what %s is here", name)
		}
	}
}

func TestDocumentsNameMetricsThatExist(t *testing.T) {
	docs := documented(t)
	for _, file := range []string{"metrics", "limits", "headers", "architecture", "guarantees"} {
		text, err := os.ReadFile("../docs/" + file + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`statefun_[a-z_]*[a-z]").FindAllString(string(text), -1) {
			if _, is := docs[name[1:]]; !is {
				t.Errorf("docs/%s.md points to %s, which docs/metrics.md does not list", file, name[1:])
			}
		}
	}
}
