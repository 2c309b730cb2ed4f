package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// diagnosis is what one run of doctor said.
type diagnosis struct {
	code     int
	text     string // with the errors
	findings []finding
}

type finding struct {
	ID, Subject, Status, Found, Advice string
}

// examine runs doctor, which has to say something in either form.
func (a *app) examine(extra ...string) diagnosis {
	a.t.Helper()
	args := append([]string{"doctor", "--module", a.module, "--application-id", a.id, "--brokers", a.cluster.addr(), "--output", "json"}, extra...)
	cmd := exec.Command(a.program, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		a.t.Fatal(err)
	}
	d := diagnosis{code: cmd.ProcessState.ExitCode(), text: out.String() + complaints.String()}
	report := struct{ Findings []finding }{}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		a.t.Fatalf("doctor ended with %d and no report: %v\n%s", d.code, err, d.text)
	}
	d.findings = report.Findings
	return d
}

// broken are the findings that break a promise.
func (d diagnosis) broken() (lines []string) {
	for _, f := range d.findings {
		if f.Status == "broken" {
			lines = append(lines, f.ID+" "+f.Subject+": "+f.Found+" → "+f.Advice)
		}
	}
	return lines
}

// status is the worst that a check came to.
func (d diagnosis) status(id string) string {
	worst := -1
	order := []string{"ok", "unknown", "warning", "broken"}
	for _, f := range d.findings {
		if f.ID == id {
			worst = max(worst, slices.Index(order, f.Status))
		}
	}
	if worst < 0 {
		return "none"
	}
	return order[worst]
}

// expectBroken wants exit 1 because of exactly the line that holds the parts.
func (d diagnosis) expectBroken(t *testing.T, parts ...string) {
	t.Helper()
	lines := d.broken()
	if d.code != 1 || len(lines) == 0 || slices.ContainsFunc(lines, func(line string) bool { return !process.HoldsAll(line, parts) }) {
		t.Fatalf("exit %d, broken:\n%s\nwant exit 1 because of %q\n%s", d.code, strings.Join(lines, "\n"), parts, d.text)
	}
}

// examined is an application with an ingress and a function that nobody calls.
func examined(t *testing.T, c *cluster) *app {
	t.Helper()
	a := newApp(t, c)
	c.createTopic(t, a.topic("names"), 4)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	a.setModule(
		endpoint("greeter.fns/*", "http://"+listener.Addr().String()+"/statefun"),
		ingress("greeter.io/names", ingressTopic{"names", "greeter.types/visit", []string{"greeter.fns/person"}}),
		egress("greeter.io/greetings"))
	return a
}

// TestDoctorFindsWhatBreaksAPromise begins with an application that is well, and breaks one thing after the other.
func TestDoctorFindsWhatBreaksAPromise(t *testing.T) {
	for _, kind := range []string{embedded, kafka41} {
		t.Run(kind, func(t *testing.T) {
			c := needBroker(t, kind)
			a := examined(t, c)
			w := a.startReady()
			d := a.examine()
			if d.code != 0 || d.status("group.members") != "ok" || d.status("endpoints.reachable") != "ok" || d.status("topics.settings") != "ok" {
				t.Fatalf("exit %d beside a worker that runs:\n%s", d.code, d.text)
			}
			if kind == kafka41 && (d.status("clock.difference") != "ok" || d.status("limits.transaction-timeout") != "ok" || d.status("access.transactional-ids") != "ok") {
				t.Fatalf("Kafka tells its clock, its limits and its rights, and doctor does not:\n%s", d.text)
			}
			// One broker holds one copy, which is worth a warning.
			if d := a.examine("--strict"); d.code != 1 || len(d.broken()) > 0 {
				t.Fatalf("exit %d with --strict, want 1 for the warnings:\n%s", d.code, d.text)
			}
			w.stop()

			c.alterTopic(t, a.topic("changelog"), "cleanup.policy", "delete")
			a.examine().expectBroken(t, "topics.settings "+a.topic("changelog"), "cleanup.policy is delete, want compact", "kafka-configs.sh")
			c.alterTopic(t, a.topic("changelog"), "cleanup.policy", "compact")

			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if _, err := c.admin.DeleteTopic(ctx, a.topic("names")); err != nil {
				t.Fatal(err)
			}
			await(t, 20*time.Second, "the topic to be gone", func() bool { return a.examine().code == 1 })
			a.examine().expectBroken(t, "ingress.topics "+a.topic("names"), "does not exist", "--create")
		})
	}
}

// TestDoctorFindsALimitBelowTheWorkers and a transaction that hangs, on a broker whose settings are its own.
func TestDoctorFindsALimitBelowTheWorkersAndAHangingTransaction(t *testing.T) {
	c := ownBroker(t, kafka41, map[string]string{
		"transaction.max.timeout.ms":                                  "14000",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
	})
	a := examined(t, c)
	before := c.topics(t)
	a.examine().expectBroken(t, "limits.transaction-timeout", "transaction.max.timeout.ms=14000", "15000")
	if after := c.topics(t); !slices.Equal(before, after) {
		t.Fatalf("doctor, which only reads, made %v of the topics %v", after, before)
	}

	c.createTopic(t, a.topic("mailbox"), 4, "retention.ms", "-1", "retention.bytes", "-1", "max.message.bytes", "2000000")
	c.createTopic(t, a.topic("changelog"), 4, "retention.ms", "-1", "retention.bytes", "-1", "max.message.bytes", "2000000", "cleanup.policy", "compact")
	ghost := a.id + "-ghost-0"
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addr()), kgo.TransactionalID(ghost), kgo.TransactionTimeout(14*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: a.topic("mailbox"), Partition: 2, Value: []byte("never committed")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if d := a.examine("--transaction-timeout", "10s"); d.status("transactions.hanging") != "ok" {
		t.Fatalf("a transaction within its time is taken for one that hangs:\n%s", d.text)
	}
	var d diagnosis
	await(t, 10*time.Second, "doctor to find the transaction", func() bool {
		d = a.examine("--transaction-timeout", "1s")
		return d.code == 1
	})
	d.expectBroken(t, "transactions.hanging "+a.topic("mailbox")+"/2", "transactional id "+ghost, "time-out 14s",
		"kafka-transactions.sh --bootstrap-server "+c.addr()+" abort --topic "+a.topic("mailbox")+" --partition 2 --start-offset 0")
}

// topics are the names of all topics, the brokers' own too.
func (c *cluster) topics(t *testing.T) (names []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest() // what kadm answers may be from its cache
	request.Topics = nil                    // all
	answer, err := request.RequestWith(ctx, c.client)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range answer.Topics {
		names = append(names, *topic.Topic)
	}
	slices.Sort(names)
	return names
}
