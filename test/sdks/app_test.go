package sdks

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

func inTopic(sdk SDK) string  { return "in-" + sdk.Name }
func outTopic(sdk SDK) string { return "out-" + sdk.Name }

// headersTopic is an ingress topic whose headers go to the functions.
func headersTopic(sdk SDK) string { return "headers-" + sdk.Name }

// app is one application: modules with the functions of all SDKs, and its worker.
type app struct {
	t       *testing.T
	cluster *cluster
	id      string
	program string
	modules string // folder
	state   string // folder
	worker  started
}

// newApp writes the modules; the worker starts with start.
func newApp(t *testing.T, c *cluster, program, id string, modules ...string) *app {
	t.Helper()
	a := &app{t: t, cluster: c, id: id, program: program, modules: t.TempDir(), state: filepath.Join(t.TempDir(), "state")}
	for i, text := range modules {
		if err := os.WriteFile(filepath.Join(a.modules, fmt.Sprintf("module-%d.yaml", i)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// start runs the worker until it is ready.
func (a *app) start() {
	a.t.Helper()
	a.worker = start(a.t, "worker-"+a.id, exec.Command(a.program, "run", "--module", a.modules, "--brokers", a.cluster.address, "--application-id", a.id,
		"--state-dir", a.state, "--admin-addr", "127.0.0.1:0", "--worker-id", "worker-1", "--log-format", "json"))
	admin := a.worker.attribute(a.t, "admin")
	for deadline := time.Now().Add(time.Minute); ; {
		answer, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if a.worker.Ended() || time.Now().After(deadline) {
			a.t.Fatalf("the worker of %s does not get ready:\n%s", a.id, a.worker.Tail(30))
		}
		process.Pause(a.t.Context(), 20*time.Millisecond)
	}
}

// stop asks the worker to leave, which it must do well.
func (a *app) stop() {
	a.t.Helper()
	if err := a.worker.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	if !a.worker.AwaitEnd(20*time.Second) || a.worker.Code() != 0 {
		a.t.Errorf("the worker of %s does not end well:\n%s", a.id, a.worker.Tail(20))
	}
}

// module is the module of the SDKs that speak the protocol of 3.x, one endpoint each.
func module(c *cluster, id string, functions []*function) string {
	var text strings.Builder
	for _, f := range functions {
		attempts := 7 // pauses of a quarter of a second together
		if f.sdk.Restarts {
			attempts = 9 // of a second: a process must come back in it
		}
		fmt.Fprintf(&text, `kind: io.statefun.endpoints.v2/http
spec:
  functions: %[1]s/*
  urlPathTemplate: http://127.0.0.1:%[2]s/statefun
  maxAttempts: %[3]d
  onFailure: dead-letter
---
`, f.sdk.Name, f.port, attempts)
	}
	fmt.Fprintf(&text, `kind: io.statefun.kafka.v1/ingress
spec:
  id: sdks.io/in
  address: %[1]s
  consumerGroupId: %[2]s
  startupPosition: {type: earliest}
  topics:
`, c.address, id)
	for _, f := range functions {
		fmt.Fprintf(&text, "    - {topic: %s, valueType: io.statefun.types/string, targets: [%s/script]}\n", inTopic(f.sdk), f.sdk.Name)
		fmt.Fprintf(&text, "    - {topic: %s, valueType: io.statefun.types/string, targets: [%s/script], forwardHeaders: true}\n", headersTopic(f.sdk), f.sdk.Name)
	}
	fmt.Fprintf(&text, `---
kind: io.statefun.kafka.v1/egress
spec:
  id: sdks.io/out
  address: %s
  deliverySemantic: {type: exactly-once, transactionTimeout: 1min}
`, c.address)
	return text.String()
}

// legacyModule is the module of the SDKs of the generation before: version 2.0, states in the module.
func legacyModule(c *cluster, id string, functions []*function) string {
	var text, topics strings.Builder
	text.WriteString("version: \"2.0\"\nmodule:\n  meta: {type: remote}\n  spec:\n    functions:\n")
	for _, f := range functions {
		for _, kind := range []string{"script", "other", "nobody"} {
			fmt.Fprintf(&text, `      - function:
          meta: {kind: http, type: %s/%s}
          spec:
            endpoint: http://127.0.0.1:%s/statefun
            states:
              - {name: text}
              - {name: number}
              - {name: flag}
              - {name: ratio}
              - {name: large}
              - {name: custom}
              - {name: written, expireAfter: 4sec, expireMode: after-write}
              - {name: called, expireAfter: 4sec, expireMode: after-invoke}
            timeout: 20sec
            maxAttempts: 7
            onFailure: dead-letter
`, f.sdk.Name, kind, f.port)
		}
		fmt.Fprintf(&topics, `            - topic: %s
              typeUrl: type.googleapis.com/google.protobuf.StringValue
              targets: [%s/script]
`, inTopic(f.sdk), f.sdk.Name)
	}
	fmt.Fprintf(&text, `    ingresses:
      - ingress:
          meta: {type: statefun.kafka.io/routable-protobuf-ingress, id: sdks.io/legacy-in}
          spec:
            address: %[1]s
            consumerGroupId: %[2]s
            startupPosition: {type: earliest}
            topics:
%[3]s    egresses:
      - egress:
          meta: {type: statefun.kafka.io/generic-egress, id: sdks.io/legacy-out}
          spec:
            address: %[1]s
            deliverySemantic: {type: exactly-once, transactionTimeoutMillis: 60000}
`, c.address, id, topics.String())
	return text.String()
}
