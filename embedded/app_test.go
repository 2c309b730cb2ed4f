package embedded_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// greeterApp reads names and writes greetings.
func greeterApp(id string, o embedded.Options) *embedded.App {
	app := embedded.New(id, o)
	app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte](greeterType), "names").FromEarliest())
	app.Function(greeter)
	app.Egress("example/greets")
	return app
}

func TestAProgramIsAWholeApplication(t *testing.T) {
	app := greeterApp("greeter", quiet(t))
	stop := start(t, app)
	brokers := brokersOf(t, app)
	produce(t, brokers, "names", "Ada=1", "Grace=2", "Ada=3")
	got := texts(readerOf(t, brokers, "greetings").next(3))
	slices.Sort(got)
	if want := []string{"Ada=1", "Ada=2", "Grace=1"}; !slices.Equal(got, want) {
		t.Errorf("greetings %v", got)
	}
	stop()
	if err := app.Ready(); !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("after the end Ready says %v", err)
	}
	if err := app.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "Run was called before") {
		t.Errorf("a second Run: %v", err)
	}
}

func TestTwoApplicationsInOneProcessKnowNothingOfEachOther(t *testing.T) {
	registry := prometheus.NewRegistry()
	addr := startBroker(t, "names", "greetings")
	for _, id := range []string{"one", "two"} {
		o := quiet(t, addr)
		o.Registerer = registry
		start(t, greeterApp(id, o))
	}
	third := quiet(t)
	third.Registerer = registry
	dev := greeterApp("three", third)
	start(t, dev)

	produce(t, []string{addr}, "names", "Ada=1", "Ada=2")
	got := texts(readerOf(t, []string{addr}, "greetings").next(4))
	slices.Sort(got)
	if want := []string{"Ada=1", "Ada=1", "Ada=2", "Ada=2"}; !slices.Equal(got, want) {
		t.Errorf("greetings %v", got)
	}
	produce(t, brokersOf(t, dev), "names", "Ada=1")
	if got := texts(readerOf(t, brokersOf(t, dev), "greetings").next(1)); !slices.Equal(got, []string{"Ada=1"}) {
		t.Errorf("greetings of the third application %v", got)
	}
	for _, id := range []string{"one", "two", "three"} {
		if n := applicationMetrics(t, registry, id); n == 0 {
			t.Errorf("no metrics of application %s", id)
		}
	}
}

// applicationMetrics counts the metrics that have the label of an application.
func applicationMetrics(t *testing.T, g prometheus.Gatherer, id string) (n int) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == "application" && l.GetValue() == id }) {
				n++
			}
		}
	}
	return n
}

func TestTheMetricsOfAnApplicationLeaveTheRegistererWithIt(t *testing.T) {
	registry := prometheus.NewRegistry()
	addr := startBroker(t, "names", "greetings")
	o := quiet(t, addr)
	o.Registerer = registry
	start(t, greeterApp("greeter", o))()
	if n := applicationMetrics(t, registry, "greeter"); n != 0 {
		t.Errorf("%d metrics are left", n)
	}
	start(t, greeterApp("greeter", o))
	o.StateDir = t.TempDir()
	err := greeterApp("greeter", o).Run(within(t))
	if err == nil || !strings.Contains(err.Error(), "register the metrics of application greeter") {
		t.Errorf("two of the same metrics: %v", err)
	}
}

func TestTheAdminAddressIsServedUntilTheEnd(t *testing.T) {
	o := quiet(t)
	o.AdminAddr = "127.0.0.1:0"
	log := newLog()
	o.Logger = log.logger()
	app := greeterApp("greeter", o)
	stop := start(t, app)
	awaitReady(t, app)
	addr := log.attribute("admin")
	for path, want := range map[string]string{"/readyz": "ok", "/metrics": "statefun_worker_"} {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %.200s", path, response.Status, body)
		}
	}
	stop()
	if response, err := http.Get("http://" + addr + "/healthz"); err == nil {
		response.Body.Close()
		t.Error("the admin server answers after Run has returned")
	}
}

func TestAModuleIsPartOfTheApplication(t *testing.T) {
	file := write(t, "module.yaml", `
kind: statefun-kafka.v1/application
spec:
  id: elsewhere
  partitions: 3
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: example/names
  address: ${ADDRESS}
  consumerGroupId: anything
  startupPosition: {type: earliest}
  topics:
    - {topic: names, valueType: example/text, targets: [example/greeter]}
---
kind: io.statefun.kafka.v1/egress
spec:
  id: example/greets
  address: ${ADDRESS}
`)
	o := quiet(t, startBroker(t, "names", "greetings"))
	o.Modules, o.Getenv = []string{file}, func(string) (string, bool) { return "kafka:9092", true }
	app := embedded.New("greeter", o)
	app.Function(greeter)
	start(t, app)
	produce(t, o.Brokers, "names", "Ada=1")
	if got := texts(readerOf(t, o.Brokers, "greetings").next(1)); !slices.Equal(got, []string{"Ada=1"}) {
		t.Errorf("greetings %v", got)
	}
}

func TestADeclarationAfterRunIsToldAndHasNoEffect(t *testing.T) {
	o, log := quiet(t), newLog()
	o.Logger = log.logger()
	app := greeterApp("greeter", o)
	start(t, app)
	app.Function(statefun.Function{Type: "example/late", Invoke: greeter.Invoke})
	if at := log.attribute("at"); !strings.HasPrefix(at, "app_test.go:") {
		t.Errorf("the log says %q of the place", at)
	}
}

func TestTheStateFolderOfADevelopmentBrokerIsRemoved(t *testing.T) {
	o := quiet(t)
	o.StateDir = ""
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	start(t, greeterApp("greeter", o))()
	if left := list(t, folder); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAnApplicationThatIsStoppedAtOnceEndsWithoutAnError(t *testing.T) {
	app, _ := counterApp(quiet(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.Run(ctx); err != nil {
		t.Error(err)
	}
}
