package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

// greeter is a module with an ingress of wrapped strings; BROKER stands for its address.
const greeter = `kind: io.statefun.endpoints.v2/http
spec:
  functions: greeter/*
  urlPathTemplate: http://127.0.0.1:1/statefun
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: greeter/names
  address: BROKER
  consumerGroupId: greeter
  startupPosition:
    type: earliest
  topics:
    - topic: names
      valueType: io.statefun.types/string
      targets: [greeter/person]
---
kind: io.statefun.kafka.v1/egress
spec:
  id: greeter/greetings
  address: BROKER
`

// output is what a command writes, readable while it runs.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // has a value after a write
}

func newOutput() *output { return &output{written: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.written <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for a match and returns its first group, or the match.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	limit := time.After(20 * time.Second)
	re := regexp.MustCompile(pattern)
	for {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-o.written:
		case <-limit:
			t.Fatalf("%q did not appear in:\n%s", pattern, o.String())
		}
	}
}

// command is a command line under way in this process.
type command struct {
	out, err *output
	stop     context.CancelFunc // what a first signal does
	code     chan int
}

type setting func(*program)

func withInput(s string) setting { return func(p *program) { p.in = strings.NewReader(s) } }

func withEnv(pairs ...string) setting {
	return func(p *program) {
		p.lookupEnv = func(name string) (string, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1], true
				}
			}
			return "", false
		}
	}
}

func start(t *testing.T, args []string, settings ...setting) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &command{out: newOutput(), err: newOutput(), stop: cancel, code: make(chan int, 1)}
	p := program{in: strings.NewReader(""), out: c.out, err: c.err, lookupEnv: func(string) (string, bool) { return "", false }}
	for _, s := range settings {
		s(&p)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.code <- execute(ctx, p, args)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

func (c *command) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-c.code:
		return code
	case <-time.After(30 * time.Second):
		t.Fatalf("the command did not end:\n%s%s", c.out, c.err)
		return -1
	}
}

// run runs a command to its end and fails the test when it does not end with the code.
func run(t *testing.T, want int, args []string, settings ...setting) (out, err string) {
	t.Helper()
	c := start(t, args, settings...)
	if code := c.wait(t); code != want {
		t.Fatalf("%v ended with %d, want %d:\n%s%s", args, code, want, c.out, c.err)
	}
	return c.out.String(), c.err.String()
}

func startBroker(t *testing.T, topics ...broker.Topic) string {
	t.Helper()
	b, err := broker.Start(broker.Config{Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addr()
}

// writeModule writes a module for the broker and returns its path.
func writeModule(t *testing.T, text, brokerAddr string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "BROKER", brokerAddr)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// has fails the test for each text that is not in s.
func has(t *testing.T, s string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(s, want) {
			t.Errorf("lacks %q:\n%s", want, s)
		}
	}
}

func TestWrongUsageEndsWithTwoAndPointsToTheHelp(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"sent"}, `unknown command "sent": did you mean "send"?`},
		{"unknown command nothing is like", []string{"xyz"}, `unknown command "xyz"`},
		{"help for an unknown command", []string{"help", "sent"}, `unknown command "sent": did you mean "send"?`},
		{"module in place of a command", []string{"module.yaml"}, "statefun-kafka run --module module.yaml"},
		{"module without its flag", []string{"run", "module.yaml"}, "run takes no arguments: give the module with --module module.yaml"},
		{"module among records", []string{"send", "module.yaml"}, "a module is given with --module module.yaml"},
		{"unknown flag", []string{"tail", "--tpoic", "x"}, "unknown flag: --tpoic: did you mean --topic?"},
		{"command as a flag", []string{"--version"}, "did you mean the command, statefun-kafka version?"},
		{"flag of a group of the log", []string{"run", "--log-leve", "x"}, "did you mean --log-level?"},
		{"long flag with one dash", []string{"run", "-module", "module.yaml"}, "-module: long flags have two dashes: --module"},
		{"flag of the wrong type", []string{"tail", "--max", "many"}, `--max "many": want a whole number`},
		{"time without a unit", []string{"topics", "--timeout", "5"}, `--timeout "5": want a time like 30s`},
		{"no time at all", []string{"topics", "--timeout", "0"}, "--timeout 0s: want a time like 30s"},
		{"negative number", []string{"tail", "--max", "-1"}, "--max -1: want 0 or more"},
		{"switch that is neither on nor off", []string{"doctor", "--strict=maybe"}, `--strict "maybe": want true or false`},
		{"address without a port", []string{"run", "--admin-addr", "9090"}, `--admin-addr "9090": want HOST:PORT`},
		{"address with a port too high", []string{"broker", "--addr", "127.0.0.1:99999"}, "want HOST:PORT"},
		{"broker that is a URL", []string{"tail", "--brokers", "http://kafka:9092"}, `--brokers "http://kafka:9092": want HOST:PORT`},
		{"no release of Kafka", []string{"broker", "--kafka-version", "99"}, "want a release of Kafka, like 3.9"},
		{"no broker", []string{"tail", "--brokers", ""}, "--brokers is empty: want HOST:PORT"},
		{"argument too many", []string{"version", "x"}, `version takes no arguments, and "x" is one`},
		{"log level", []string{"version", "--log-level", "loud"}, `--log-level "loud": want debug, info, warn or error`},
		{"log format", []string{"version", "--log-format", "xml"}, `--log-format "xml": want text, json or auto`},
		{"output format", []string{"tail", "--output", "xml"}, `--output "xml": want text or json`},
		{"no module to validate", []string{"validate"}, "name a file or a folder"},
		{"no module", []string{"topics"}, "give --module FILE"},
		{"nowhere to send", []string{"send", "a=1"}, "give --module, or --brokers and --topic"},
		{"ingress without its module", []string{"send", "--ingress", "a/b", "a=1"}, "--ingress needs the module"},
		{"nothing to read", []string{"tail", "--topic", "x"}, "give --topic, and --module or --brokers"},
		{"topic without a count", []string{"broker", "--topic", "names:"}, "names:4"},
		{"topic without a name", []string{"broker", "--topic", ":4"}, "names:4"},
		{"no topic", []string{"broker", "--topic", ""}, "names:4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := run(t, exitUsage, tt.args)
			if stdout != "" {
				t.Errorf("it prints, before it says what is wrong: %q", stdout)
			}
			has(t, stderr, tt.want, "see 'statefun-kafka", "--help'")
		})
	}
}

func TestHelpOfEveryCommandHasExamples(t *testing.T) {
	out, _ := run(t, exitOK, []string{"--help"})
	for _, name := range []string{"broker", "validate", "topics", "send", "tail", "version"} {
		has(t, out, "\n  "+name+" ")
		help, _ := run(t, exitOK, []string{name, "--help"})
		has(t, help, "Examples:", "statefun-kafka "+name)
	}
}

func TestEnvironmentStandsForFlagsAndFlagsBeatIt(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1}, broker.Topic{Name: "other", Partitions: 1})
	env := withEnv("STATEFUN_BROKERS", "127.0.0.1:1,"+addr, "STATEFUN_TOPIC", "names", "STATEFUN_TYPE", typeInt)
	out, _ := run(t, exitOK, []string{"send", "ada=7"}, env)
	has(t, out, "sent 1 record to topic names")
	out, _ = run(t, exitOK, []string{"send", "ada=7", "--topic", "other"}, env)
	has(t, out, "sent 1 record to topic other")
	out, _ = run(t, exitOK, []string{"tail", "--from-start", "--max", "1"}, env)
	if out != "ada=7\n" {
		t.Errorf("read %q", out)
	}
}

func TestEnvironmentVariableThatDoesNotParseIsNamed(t *testing.T) {
	_, stderr := run(t, exitUsage, []string{"tail"}, withEnv("STATEFUN_MAX", "many"))
	has(t, stderr, `environment variable STATEFUN_MAX="many": want a whole number`)
}

func TestVersionNamesTheProgramAndThePlatform(t *testing.T) {
	out, _ := run(t, exitOK, []string{"version"})
	if !regexp.MustCompile(`^statefun-kafka \S.* \(go1\S*, \w+/\w+\)\n$`).MatchString(out) {
		t.Fatalf("printed %q", out)
	}
}

func TestLogIsJSONUnlessOnATerminal(t *testing.T) {
	for format, want := range map[string]string{"auto": `"broker":"127.0.0.1:`, "json": `"broker":"127.0.0.1:`, "text": "broker=127.0.0.1:"} {
		c := start(t, []string{"broker", "--addr", "127.0.0.1:0", "--log-format", format})
		c.err.await(t, regexp.QuoteMeta(want))
		c.stop()
		if code := c.wait(t); code != exitOK {
			t.Fatalf("ended with %d", code)
		}
	}
}

func TestValidatePrintsEveryProblemOfAllFilesWithItsPlace(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	wrong := strings.Replace(greeter, "topics:", "topicz:", 1)
	for path, text := range map[string]string{a: wrong, b: "kind: io.statefun.kafka.v1/egres\nspec: {}\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := run(t, exitUsage, []string{"validate", a, "--module", b})
	has(t, out, a+":13:3: ", `did you mean "topics"?`, b+":1:", `did you mean "io.statefun.kafka.v1/egress"?`, " problems, ")
}

func TestValidateLooksAtTheClientProperties(t *testing.T) {
	text := strings.Replace(greeter, "  consumerGroupId: greeter\n", "  consumerGroupId: greeter\n  properties:\n    - max.poll.records: 3\n    - fetch.min.byte: 3\n", 1)
	path := writeModule(t, text, "127.0.0.1:1")
	out, _ := run(t, exitUsage, []string{"validate", path})
	has(t, out, path+":13:", `did you mean "fetch.min.bytes"?`, "1 problem,")
	path = writeModule(t, strings.Replace(text, "    - fetch.min.byte: 3\n", "", 1), "127.0.0.1:1")
	out, _ = run(t, exitOK, []string{"validate", path})
	has(t, out, path+":12:7: warning: ", "max.poll.records has no effect", "valid: application greeter on 127.0.0.1:1, 1 endpoint, 1 ingress reading names, 1 egress, 1 warning")
}

func TestInvalidModuleEndsEveryCommandWithTwo(t *testing.T) {
	path := writeModule(t, strings.Replace(greeter, "topics:", "topicz:", 1), "127.0.0.1:1")
	for _, args := range [][]string{{"topics"}, {"send", "a=b"}, {"tail", "--topic", "x"}} {
		_, stderr := run(t, exitUsage, append(args, "--module", path))
		has(t, stderr, "the module is not valid", path+":13", `did you mean "topics"?`)
	}
}

func TestModuleMayTakeItsAddressFromTheEnvironment(t *testing.T) {
	path := writeModule(t, greeter, "${KAFKA}")
	out, _ := run(t, exitOK, []string{"validate", path}, withEnv("KAFKA", "kafka:9092"))
	has(t, out, "application greeter on kafka:9092")
}

func TestTopicsAreShownThenCreated(t *testing.T) {
	addr := startBroker(t)
	path := writeModule(t, greeter, addr)
	out, stderr := run(t, exitFailure, []string{"topics", "-m", path})
	has(t, out, "TOPIC", "greeter-mailbox", "missing", "cleanup.policy=compact")
	has(t, stderr, "topic names: ingress topic of greeter/names is missing", "topics --create --create-ingress")
	create := []string{"topics", "-m", path, "--create", "--create-ingress", "--ingress-partitions", "3", "--topic", "greetings:2"}
	out, _ = run(t, exitOK, create)
	has(t, out, "application greeter, 3 partitions, transaction version 2", "exists")
	if strings.Contains(out, "missing") {
		t.Errorf("something is missing after the creation:\n%s", out)
	}
	out, _ = run(t, exitOK, []string{"topics", "-m", path, "--output", "json"})
	has(t, out, `"application": "greeter"`, `"name": "greeter-changelog"`, `"partitions": 3`, `"exists": true`, `"cleanup.policy": "compact"`)
}

func TestTopicsSaysWhatIsWrongBesideTheTable(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 2}, broker.Topic{Name: "greeter-changelog", Partitions: 2})
	out, stderr := run(t, exitFailure, []string{"topics", "-m", writeModule(t, greeter, addr), "--create"})
	has(t, out, "greeter-changelog", "exists", "missing")
	has(t, stderr, "cleanup.policy is delete, want compact", "kafka-configs.sh --bootstrap-server "+addr)
}
