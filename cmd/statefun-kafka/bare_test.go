package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

// hasRun is a cluster on which the application greeter has run and stopped.
func hasRun(t *testing.T) (addr string) {
	t.Helper()
	addr = startBroker(t, broker.Topic{Name: "names", Partitions: 3}, broker.Topic{Name: "greetings", Partitions: 1})
	server := serveGreeter(t)
	c := start(t, []string{"run", "-m", writeModule(t, greeterAt(server.URL), addr), "--admin-addr", "127.0.0.1:0", "--state-dir", t.TempDir(), "--log-format", "text"})
	awaitReady(t, c, c.err.await(t, adminPattern))
	run(t, exitOK, []string{"send", "-b", addr, "--topic", "names", "--type", typeString, "ada=x"})
	run(t, exitOK, []string{"tail", "-b", addr, "--topic", "greetings", "--from-start", "--max", "1", "--timeout", "20s"})
	c.stop()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("the worker ended with %d:\n%s", code, c.err)
	}
	return addr
}

func TestAnApplicationWithoutAModuleIsLookedAtByItsIDAlone(t *testing.T) {
	addr := hasRun(t)
	alone := []string{"--application-id", "greeter", "--brokers", addr}

	out, _ := run(t, exitOK, append([]string{"topics"}, alone...))
	has(t, out, "application greeter, 3 partitions", "greeter-changelog", "greeter-mailbox", "greeter-dead-letter", "names ", "ingress",
		"without a module, ingress topics are those that group greeter has offsets of; not checked are")
	out, _ = run(t, exitOK, append([]string{"topics", "--output", "json"}, alone...))
	has(t, out, `"notChecked": "without a module`, `"name": "names"`)

	out, _ = run(t, exitOK, append([]string{"doctor"}, alone...))
	has(t, out, "unknown  module.known", "those that group greeter has offsets of (names)", "ok       topics.settings", "ok  ingress.topics      1 topic exists", "unknown  endpoints.reachable")

	out, _ = run(t, exitOK, append([]string{"rescale", "--partitions", "5", "--dry-run"}, alone...))
	has(t, out, "application greeter", "3 partitions to 5")
	_, stderr := run(t, exitOK, append([]string{"rescale", "--partitions", "5"}, alone...))
	has(t, stderr, "where the program sets Options.Partitions")
	out, _ = run(t, exitOK, append([]string{"topics"}, alone...))
	has(t, out, "application greeter, 5 partitions", "greeter-changelog-g2", "names has 3 partitions, the application 5")
	_, stderr = run(t, exitFailure, append([]string{"topics", "--partitions", "4"}, alone...))
	has(t, stderr, "partitions is 5, want 4", "5 as partitions in the application document of the module / Options.Partitions", "statefun-kafka rescale --partitions 4")
}

func TestAnApplicationThatIsNotThereIsSaidWithAWayOut(t *testing.T) {
	addr := startBroker(t)
	alone := []string{"--application-id", "shop", "--brokers", addr}
	none, stderr := run(t, exitFailure, append([]string{"topics"}, alone...))
	if none != "" {
		t.Errorf("it shows topics that nobody has: %s", none)
	}
	has(t, stderr, "application shop is not on this cluster", "shop-changelog", "topics --create --partitions N")
	out, _ := run(t, exitFailure, append([]string{"doctor"}, alone...))
	has(t, out, "module.known", "the ingress topics are not known", "not on this cluster")
	_, stderr = run(t, exitFailure, append([]string{"rescale", "--partitions", "3"}, alone...))
	has(t, stderr, "there is no application shop on this cluster")

	out, _ = run(t, exitOK, append([]string{"topics", "--create", "--partitions", "6"}, alone...))
	has(t, out, "application shop, 6 partitions")
	out, _ = run(t, exitOK, append([]string{"topics", "--output", "json"}, alone...))
	var plan struct {
		Topics []struct {
			Role       string
			Exists     bool
			Partitions int
		}
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil || len(plan.Topics) != 3 || plan.Topics[1].Partitions != 6 || !plan.Topics[1].Exists {
		t.Errorf("created before the first start: %v\n%s", err, out)
	}
}

func TestWhatRunsNeedsAModule(t *testing.T) {
	for _, args := range [][]string{{"run"}, {"dev"}} {
		args = append(args, "--application-id", "shop")
		if args[0] == "run" {
			args = append(args, "--brokers", "127.0.0.1:1")
		}
		_, stderr := run(t, exitUsage, args)
		has(t, stderr, "no module: give --module FILE")
	}
	for _, name := range []string{"doctor", "topics", "rescale"} {
		args := []string{name, "--application-id", "shop"}
		if name == "rescale" {
			args = append(args, "--abort")
		}
		_, stderr := run(t, exitUsage, args)
		has(t, stderr, "give --module FILE, or --application-id and --brokers")
		_, stderr = run(t, exitUsage, append(args, "--brokers", "127.0.0.1:1", "--application-id", "my shop"))
		has(t, stderr, `"my shop" is not an application id`)
	}
}

func TestClientSettingsWithoutAModuleComeFromAFile(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 1})
	file := filepath.Join(t.TempDir(), "client.properties")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	send := []string{"send", "-b", addr, "--topic", "names", "--command-config", file, "a=1", "--timeout", "1s"}
	write("# as Kafka's tools take it\nrequest.timeout.ms = 9000\n")
	out, _ := run(t, exitOK, send)
	has(t, out, "sent 1 record")
	write("security.protocol=SSL\n")
	_, stderr := run(t, exitFailure, send) // the broker speaks no TLS
	has(t, stderr, "no broker answers")
	write("\nsecurity.protocl=SSL\n")
	_, stderr = run(t, exitUsage, send)
	has(t, stderr, file+":2: ", `did you mean "security.protocol"?`)
	_, stderr = run(t, exitUsage, []string{"topics", "-m", writeModule(t, greeter, addr), "--command-config", file})
	has(t, stderr, "--command-config is for use without a module")
	_, stderr = run(t, exitUsage, []string{"tail", "-b", addr, "--topic", "names", "--command-config", strings.TrimSuffix(file, "s")})
	has(t, stderr, "read the client properties", "no such file")
}
