package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

func TestDoctorEndsWithOneOnlyWhenAPromiseWouldNotHold(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 2})
	path := writeModule(t, greeter, addr)
	run(t, exitOK, []string{"topics", "-m", path, "--create", "--replication", "1"})
	out, _ := run(t, exitOK, []string{"doctor", "-m", path})
	// Nothing listens at the endpoint, and one broker holds one copy.
	has(t, out, "warning  endpoints.reachable", "warning  replication.factor", "ok       topics.settings", " 0 broken: nothing here breaks a promise\n")
	run(t, exitFailure, []string{"doctor", "-m", path, "--strict"})
	out, _ = run(t, exitOK, []string{"doctor", "-m", path, "--endpoints=false", "--topic", "greetings"})
	has(t, out, "unknown  endpoints.reachable", "egress.topics", "greetings: does not exist")
	out, stderr := run(t, exitFailure, []string{"doctor", "-m", path, "--transaction-timeout", "20m"})
	has(t, out, "broken ", "limits.transaction-timeout", "workers ask for 1200000")
	if stderr != "" {
		t.Errorf("the report is all there is to say, and this was said too: %q", stderr)
	}
}

func TestDoctorPrintsForPrograms(t *testing.T) {
	addr := startBroker(t)
	out, _ := run(t, exitFailure, []string{"doctor", "-m", writeModule(t, greeter, addr), "--output", "json"})
	var report struct {
		Application string
		Findings    []struct{ ID, Status, Subject, Advice string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.ID == "ingress.topics" && f.Status == "broken" && f.Subject == "names" && strings.Contains(f.Advice, "--create") && report.Application == "greeter" {
			return
		}
	}
	t.Fatalf("the missing ingress topic is not told:\n%s", out)
}

func TestDoctorSaysThatNobodyAnswers(t *testing.T) {
	out, _ := run(t, exitFailure, []string{"doctor", "-m", writeModule(t, greeter, "127.0.0.1:1")})
	has(t, out, "broken   brokers.reachable", "no broker answers at 127.0.0.1:1", "connection refused")
}

func TestDoctorWithoutAValidModuleEndsWithTwo(t *testing.T) {
	_, stderr := run(t, exitUsage, []string{"doctor"})
	has(t, stderr, "give --module FILE")
	_, stderr = run(t, exitUsage, []string{"doctor", "-m", writeModule(t, strings.Replace(greeter, "topics:", "topicz:", 1), "127.0.0.1:1")})
	has(t, stderr, `did you mean "topics"?`)
	_, stderr = run(t, exitUsage, []string{"doctor", "-m", writeModule(t, greeter, "127.0.0.1:1"), "--output", "xml"})
	has(t, stderr, "want text or json")
}
