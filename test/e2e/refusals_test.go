package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The exit codes of the program.
const (
	exitFailure = 1
	exitInvalid = 2
)

// refused starts a worker that must not start: it ends with the code and says all the parts in one line.
func refused(t *testing.T, a *app, code int, parts ...string) {
	t.Helper()
	w := a.start()
	if got := w.exit(t, 30*time.Second); got != code {
		t.Errorf("exit code %d, not %d", got, code)
	}
	if w.Count(parts...) == 0 {
		t.Errorf("no line says %q:\n%s", parts, w.Tail(shownLines))
	}
}

// TestStateFolderRefusals starts workers on folders that are not theirs.
func TestStateFolderRefusals(t *testing.T) {
	t.Run("in use by another process", func(t *testing.T) {
		s := newScripted(t, needBroker(t, kafka41))
		w := s.app.startReady()
		refused(t, s.app, exitFailure, s.app.folder, "another process")
		if !w.ready() {
			t.Error("the refused worker made the first one unready")
		}
		w.stop()
	})
	t.Run("of another application", func(t *testing.T) {
		s := newScripted(t, needBroker(t, kafka41))
		s.app.startReady().stop()
		first := s.app.id
		s.app.id += "-other"
		refused(t, s.app, exitFailure, s.app.folder, first, s.app.id)
	})
	t.Run("a file", func(t *testing.T) {
		a := newScripted(t, needBroker(t, kafka41)).app
		if err := os.WriteFile(a.folder, []byte("a file"), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, a, exitFailure, a.folder)
	})
}

// TestTopicRefusals starts workers on topics that would lose what is put into them; each problem names topic, setting
// and the way out.
func TestTopicRefusals(t *testing.T) {
	type topic struct {
		suffix     string
		partitions int32
		settings   []string
	}
	compacted := []string{"cleanup.policy", "compact", "retention.ms", "-1"}
	tests := []struct {
		name   string
		topics []topic
		about  string
		parts  []string
	}{
		{"a changelog that deletes", []topic{{"changelog", 4, []string{"cleanup.policy", "delete"}}}, "changelog", []string{"cleanup.policy is delete", "compact", "kafka-configs"}},
		{"a mailbox that forgets", []topic{{"mailbox", 4, []string{"retention.ms", "1000"}}}, "mailbox", []string{"retention.ms is 1000", "kafka-configs"}},
		{"a mailbox and a changelog of different widths", []topic{{"mailbox", 3, []string{"retention.ms", "-1"}}, {"changelog", 4, compacted}}, "", []string{"partitions is"}},
		{"a dead-letter topic that keeps the last record of a key only", []topic{{"dead-letter", 1, []string{"cleanup.policy", "compact"}}}, "dead-letter", []string{"cleanup.policy is compact", "kafka-configs"}},
		{"a changelog that takes small records only", []topic{{"changelog", 4, append(compacted, "max.message.bytes", "1000")}}, "changelog", []string{"max.message.bytes is 1000"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onEachBroker(t, func(t *testing.T, c *cluster) {
				a := newScripted(t, c).app
				for _, topic := range test.topics {
					a.cluster.createTopic(t, a.topic(topic.suffix), topic.partitions, topic.settings...)
				}
				refused(t, a, exitFailure, append(test.parts, a.topic(test.about))...)
			})
		})
	}
	t.Run("an ingress topic that does not exist", func(t *testing.T) {
		a := newApp(t, needBroker(t, kafka41))
		a.setModule(endpoint("e2e.none/fn", "http://127.0.0.1:1/"),
			ingress("e2e.none/in", ingressTopic{"nowhere", "e2e.none/input", []string{"e2e.none/fn"}}))
		refused(t, a, exitFailure, a.topic("nowhere"), "missing")
	})
}

// TestTransactionsThatCannotBe starts workers on a broker whose own topics want more brokers than there are: the usual mistake
// with a single node.
func TestTransactionsThatCannotBe(t *testing.T) {
	tests := []struct {
		name, setting, value string
		parts                []string
	}{
		{"more copies of offsets than brokers", "offsets.topic.replication.factor", "3", []string{"brokers: 1", "offsets.topic.replication.factor=3"}},
		{"more copies than brokers", "transaction.state.log.replication.factor", "3", []string{"brokers: 1", "transaction.state.log.replication.factor=3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newScripted(t, ownBroker(t, kafka41, map[string]string{test.setting: test.value})).app
			refused(t, a, exitFailure, append(test.parts, "gives no transactions", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1")...)
		})
	}
}

// brokenModule has two faults, on lines 3 and 9.
const brokenModule = `kind: io.statefun.endpoints.v2/http
spec:
  function: e2e/fn
  urlPathTemplate: http://127.0.0.1:1/
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: e2e/in
  adress: 127.0.0.1:1
  consumerGroupId: x
  topics: []
`

// TestUsageRefusals gives the program what it cannot understand.
func TestUsageRefusals(t *testing.T) {
	t.Run("a module with several faults, all named", func(t *testing.T) {
		a := newApp(t, needBroker(t, kafka41))
		a.setModule(brokenModule)
		refused(t, a, exitInvalid, "module.yaml:3", "functions")
		refused(t, a, exitInvalid, "module.yaml:9", "address")
	})
	t.Run("a module that is not there", func(t *testing.T) {
		a := newApp(t, needBroker(t, kafka41))
		a.module = filepath.Join(t.TempDir(), "missing.yaml")
		refused(t, a, exitInvalid, "missing.yaml")
	})
	t.Run("an unknown flag", func(t *testing.T) {
		p := start(t, "usage", needProgram(t), "run", "--modul", "x")
		if code := p.exit(t, 10*time.Second); code != exitInvalid {
			t.Errorf("exit code %d, not %d", code, exitInvalid)
		}
	})
}
