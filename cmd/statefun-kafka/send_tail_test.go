package main

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

func TestSentRecordsAreReadBackByTheirType(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1}, broker.Topic{Name: "plain", Partitions: 1})
	path := writeModule(t, greeter, addr)
	out, _ := run(t, exitOK, []string{"send", "-m", path, "ada=hello=you", "bob="})
	has(t, out, "sent 2 records to topic names")
	out, _ = run(t, exitOK, []string{"send", "-m", path, "--ingress", "greeter/names", "--json", `{"key":"eve","value":"hi","headers":{"trace":"7"}}`})
	has(t, out, "sent 1 record to topic names")
	run(t, exitOK, []string{"send", "-m", path}, withInput("x=1\n\n{\"key\":\"y\",\"value\":[1, 2]}\n"))
	run(t, exitOK, []string{"send", "-m", path, "--topic", "plain", "--json", `{"key":"k","value":{"a": 1}}`})

	tail := []string{"tail", "-m", path, "--topic", "names", "--from-start", "--max", "5"}
	if out, _ = run(t, exitOK, tail); out != "ada=hello=you\nbob=\neve=hi\nx=1\ny=[1,2]\n" {
		t.Errorf("read %q", out)
	}
	out, _ = run(t, exitOK, append(tail, "--output", "json"))
	lines := strings.Split(out, "\n")
	if !regexp.MustCompile(`^\{"topic":"names","partition":0,"offset":2,"timestamp":"20[^"]*Z","key":"eve","value":"hi","headers":\[\{"name":"trace","value":"7"\}\]\}$`).MatchString(lines[2]) {
		t.Errorf("the third record as JSON is %s", lines[2])
	}
	out, _ = run(t, exitOK, []string{"tail", "-b", addr, "--topic", "names", "--from-start", "--max", "1"})
	if out != "ada=\"\\n\\thello=you\"\n" {
		t.Errorf("without the type %q, want the wrapper's bytes in quotes", out)
	}
	out, _ = run(t, exitOK, []string{"tail", "-b", addr, "--topic", "plain", "--from-start", "--max", "1"})
	if out != "k={\"a\":1}\n" {
		t.Errorf("a value of another type was read as %q", out)
	}
}

func TestRecordsThatCannotBeSentAreRefusedBeforeAnyIsSent(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	path := writeModule(t, greeter, addr)
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no equals sign", []string{"ada=1", "bob"}, `"bob" is not of the form key=value`},
		{"not of the type", []string{"--type", typeInt, "ada=1", "bob=x"}, `value "x" is no io.statefun.types/int`},
		{"no JSON", []string{"--json", "{"}, "record {"},
		{"JSON without a value", []string{"--json", `{"key":"a"}`}, `want {"key":"…","value":…}`},
		{"JSON with an unknown field", []string{"--json", `{"key":"a","value":1,"topic":"x"}`}, `unknown field "topic"`},
		{"two JSON objects", []string{"--json", `{"key":"a","value":1}{}`}, "more than one JSON object"},
		{"unknown ingress", []string{"--ingress", "a/b", "a=1"}, "the module has no ingress a/b: it has greeter/names"},
		{"topic of another ingress", []string{"--ingress", "greeter/names", "--topic", "x", "a=1"}, "does not read topic x: it reads names"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, stderr := run(t, exitUsage, append([]string{"send", "-m", path}, tt.args...))
			has(t, stderr, tt.want)
		})
	}
	if out, _ := run(t, exitOK, []string{"tail", "-b", addr, "--topic", "names", "--from-start", "--timeout", "300ms"}); out != "" {
		t.Errorf("sent after all: %q", out)
	}
}

func TestBadLineIsNamedByNumberAndWhatCameBeforeIsSent(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	out, stderr := run(t, exitFailure, []string{"send", "-b", addr, "--topic", "names"}, withInput("a=1\nb=2\nc\nd=4\n"))
	has(t, out, "sent 2 records to topic names")
	has(t, stderr, `line 3: "c" is not of the form key=value`)
}

func TestSeveralIngressTopicsNeedAChoice(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1}, broker.Topic{Name: "orders", Partitions: 1})
	text := strings.Replace(greeter, "    - topic: names\n", "    - topic: orders\n      valueType: shop/order\n      targets: [greeter/person]\n    - topic: names\n", 1)
	path := writeModule(t, text, addr)
	_, stderr := run(t, exitUsage, []string{"send", "-m", path, "a=1"})
	has(t, stderr, "several ingress topics: choose one of orders, names with --topic")
	out, _ := run(t, exitOK, []string{"send", "-m", path, "--topic", "orders", "a=1"})
	has(t, out, "topic orders")
}

func TestUnknownTopicIsSaidWithAWayOut(t *testing.T) {
	addr := startBroker(t)
	out, stderr := run(t, exitFailure, []string{"send", "-b", addr, "--topic", "nowhere", "a=1"})
	if out != "" {
		t.Errorf("nothing was sent, and it says %q", out)
	}
	has(t, stderr, "topic nowhere does not exist", "topics --create --create-ingress")
}

func TestTailPrintsOnlyWhatComesAfterItsStart(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 2})
	run(t, exitOK, []string{"send", "-b", addr, "-t", "names", "before=1"})
	c := start(t, []string{"tail", "-b", addr, "-t", "names"})
	c.err.await(t, "reading")
	run(t, exitOK, []string{"send", "-b", addr, "-t", "names", "after=2"})
	c.out.await(t, "after=2")
	c.stop()
	if code := c.wait(t); code != exitOK || c.out.String() != "after=2\n" {
		t.Fatalf("ended with %d after %q", code, c.out)
	}
}

func TestTailWaitsForATopicAndReadsItFromItsFirstRecord(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	c := start(t, []string{"tail", "-b", addr, "-t", "greeter-mailbox", "--max", "1"})
	c.err.await(t, "does not exist yet")
	run(t, exitOK, []string{"topics", "-m", writeModule(t, greeter, addr), "--create"})
	run(t, exitOK, []string{"send", "-b", addr, "-t", "greeter-mailbox", "a=1"})
	if code := c.wait(t); code != exitOK || c.out.String() != "a=1\n" {
		t.Fatalf("ended with %d after %q", code, c.out)
	}
}

func TestTailThatMissesRecordsAtItsTimeOutFails(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	run(t, exitOK, []string{"send", "-b", addr, "-t", "names", "a=1"})
	_, stderr := run(t, exitFailure, []string{"tail", "-b", addr, "-t", "names", "--from-start", "--max", "2", "--timeout", "500ms"})
	has(t, stderr, "topic names: 1 of 2 records within 500ms")
}

func TestTailWithoutATopicNamesThoseOfTheModule(t *testing.T) {
	_, stderr := run(t, exitUsage, []string{"tail", "-m", writeModule(t, greeter, "127.0.0.1:1")})
	has(t, stderr, "names (ingress), greeter-dead-letter (dead-letter)")
}

func TestBrokerServesItsTopicsUntilStopped(t *testing.T) {
	c := start(t, []string{"broker", "--addr", "127.0.0.1:0", "--topic", "names:2", "--topic", "plain", "--log-format", "text"})
	addr := c.err.await(t, `broker=(127\.0\.0\.1:\d+)`)
	for _, topic := range []string{"names", "plain"} {
		run(t, exitOK, []string{"send", "-b", addr, "-t", topic, "a=1"})
	}
	c.stop()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("ended with %d", code)
	}
	_, stderr := run(t, exitFailure, []string{"send", "-b", addr, "-t", "names", "a=1", "--timeout", "1s"})
	has(t, stderr, "no broker answers at "+addr, "connection refused", "check --brokers", "in the file of --command-config")
	_, stderr = run(t, exitFailure, []string{"send", "-m", writeModule(t, greeter, addr), "a=1", "--timeout", "1s"})
	has(t, stderr, "no broker answers at "+addr, "the security properties of the module")
}

func TestABrokerWhosePortIsTakenNamesTheFlagForAnother(t *testing.T) {
	addr := startBroker(t)
	_, stderr := run(t, exitFailure, []string{"broker", "--addr", addr})
	has(t, stderr, addr, "another program listens there", "with --addr\n")
	_, stderr = run(t, exitFailure, []string{"dev", "-m", writeModule(t, greeter, addr), "--broker-addr", addr, "--state-dir", t.TempDir()})
	has(t, stderr, addr, "another program listens there", "with --broker-addr\n")
}

func TestBrokerKeepsItsFolder(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []string{"a=1\n", "a=1\na=1\n"} {
		c := start(t, []string{"broker", "--addr", "127.0.0.1:0", "--data-dir", dir, "--topic", "names:1", "--log-format", "text"})
		addr := c.err.await(t, `broker=(127\.0\.0\.1:\d+)`)
		has(t, c.err.String(), "not durable")
		run(t, exitOK, []string{"send", "-b", addr, "-t", "names", "a=1"})
		out, _ := run(t, exitOK, []string{"tail", "-b", addr, "-t", "names", "--from-start", "--max", string(rune('1' + i))})
		if out != want {
			t.Fatalf("round %d read %q, want %q", i, out, want)
		}
		c.stop()
		c.wait(t)
	}
}

func TestStandardInputThatFailsIsAnError(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	broken := func(p *program) { p.in = io.MultiReader(strings.NewReader("a=1\n"), brokenReader{}) }
	out, stderr := run(t, exitFailure, []string{"send", "-b", addr, "-t", "names"}, broken)
	has(t, out, "sent 1 record")
	has(t, stderr, "read the records")
}

func TestSendFromAnOpenPipeEndsCleanlyWhenStopped(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	r, w := io.Pipe()
	defer w.Close()
	c := start(t, []string{"send", "-b", addr, "-t", "names"}, func(p *program) { p.in = r })
	tail := start(t, []string{"tail", "-b", addr, "-t", "names", "--from-start", "--max", "1"})
	if _, err := io.WriteString(w, "a=1\n"); err != nil {
		t.Fatal(err)
	}
	// A line goes out as it comes, not with the end of the input.
	if code := tail.wait(t); code != exitOK {
		t.Fatalf("tail ended with %d", code)
	}
	c.stop()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("ended with %d:\n%s", code, c.err)
	}
	has(t, c.out.String(), "sent 1 record to topic names")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
