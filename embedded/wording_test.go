package embedded_test

import (
	"net"
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// TestErrorsNameOptionsAndNoFlags provokes what asks the user to set something else.
func TestErrorsNameOptionsAndNoFlags(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	folder := t.TempDir()
	other, _ := counterApp(embedded.Options{DevBroker: true, StateDir: folder, Logger: testLog()})
	start(t, other)
	awaitReady(t, other)
	topics := startBroker(t, "names")
	counted, _ := counterApp(embedded.Options{Brokers: []string{topics}, StateDir: t.TempDir(), Partitions: 3, Logger: testLog()})
	stop := start(t, counted)
	awaitReady(t, counted) // its topics are there
	stop()
	for _, c := range []struct {
		what    string
		id      string
		options embedded.Options
		want    string
	}{
		{"no brokers", "greeter", embedded.Options{}, "no Kafka brokers are given (give Options.Brokers, or for development Options.DevBroker, or a module with an address)"},
		{"a port of the broker that is taken", "greeter", embedded.Options{DevBroker: true, Brokers: []string{taken.Addr().String()}}, "0 for a free one, with Options.Brokers"},
		{"an address that is taken", "greeter", embedded.Options{DevBroker: true, AdminAddr: taken.Addr().String()}, "choose another address with Options.AdminAddr"},
		{"a folder that is in use", "greeter", embedded.Options{DevBroker: true, StateDir: folder}, "give each worker a folder of its own with Options.StateDir"},
		{"another count of partitions", "counter", embedded.Options{Brokers: []string{topics}, StateDir: t.TempDir(), Partitions: 5}, "3 as Options.Partitions, or"},
	} {
		c.options.Logger = testLog()
		app := embedded.New(c.id, c.options)
		app.Ingress(embedded.Go("example/names", text, embedded.ByKey[[]byte](greeterType)))
		app.Function(greeter)
		err := app.Run(within(t))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: lacks %q: %v", c.what, c.want, err)
			continue
		}
		for _, flag := range []string{"--brokers", "--state-dir", "--admin-addr", "--worker-id", "--accept-offset-reset", "application document"} {
			if strings.Contains(err.Error(), flag) {
				t.Errorf("%s: names %s: %v", c.what, flag, err)
			}
		}
	}
}

func TestATargetThatNobodyServesIsToldBeforeTheFirstRecord(t *testing.T) {
	app := embedded.New("greeter", embedded.Options{DevBroker: true, Partitions: -1})
	app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte]("example/greter"), "names"))
	app.Ingress(embedded.Go("example/hints", text, embedded.ByKey[[]byte](greeterType, "other/thing")))
	app.Ingress(embedded.Go("example/nobody", text, embedded.ByKey[[]byte]()))
	app.Ingress(embedded.Go("example/free", text, func(r embedded.Record[[]byte], to *embedded.Router) error {
		t.Error("a route of the program is called before there is a record")
		return nil
	}))
	app.Function(greeter)
	app.Remote("mail/*", "http://127.0.0.1:1")
	got := app.Run(within(t)).Error()
	for _, want := range []string{
		`ingress example/names sends to example/greter, which no function of the application serves (did you mean "example/greeter"?)`,
		`ingress example/hints sends to other/thing, which no function of the application serves (the functions are example/greeter, mail/*)`,
		`ingress "example/nobody": ByKey names no function`,
		"application: partitions: -1", // told beside them
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 4 {
		t.Errorf("%d problems in place of 4:\n%s", n, got)
	}
}

func TestAKeyedRouteOfTheProgramsOwnTellsNoTargets(t *testing.T) {
	app := embedded.New("greeter", embedded.Options{DevBroker: true, Partitions: -1, Logger: testLog()})
	app.Ingress(embedded.Go("example/names", text, embedded.Keyed[[]byte](func(r embedded.Record[[]byte], to *embedded.Router) error {
		to.Send(statefun.TypeName("other/thing").At("x"), text.Of(nil))
		return nil
	})))
	app.Function(greeter)
	if got := app.Run(within(t)).Error(); !strings.Contains(got, "partitions: -1") || strings.Contains(got, "other/thing") {
		t.Errorf("the error is %s", got)
	}
}

// TestOneMistakeIsOneProblem: what follows from a mistake is not told beside it.
func TestOneMistakeIsOneProblem(t *testing.T) {
	serve := func(app *embedded.App) { app.Function(greeter) }
	feed := func(app *embedded.App) {
		app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte](greeterType), "names"))
	}
	for _, c := range []struct {
		id      string
		options embedded.Options
		parts   []func(*embedded.App)
		want    string
	}{
		{"my greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){serve, feed}, `"my greeter" is not an application id`},
		{"greeter", embedded.Options{}, []func(*embedded.App){serve, feed}, "no Kafka brokers are given"},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){serve}, "no ingress is declared"},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){feed}, "no endpoint is declared"},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){feed, func(app *embedded.App) { app.Function(statefun.Function{Type: greeterType}) }}, "Invoke is nil"},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){feed, func(app *embedded.App) { app.Remote("greeter", "http://there") }}, `"greeter"`},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){serve, func(app *embedded.App) { app.Ingress(nil) }}, "the ingress is nil"},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){serve, func(app *embedded.App) {
			app.Ingress(embedded.Topics("names", text, embedded.ByKey[[]byte](greeterType), "names"))
		}}, `ingress: type name "names"`},
		{"greeter", embedded.Options{DevBroker: true}, []func(*embedded.App){serve, func(app *embedded.App) {
			app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte](greeterType)))
		}}, "it reads no topic"},
		{"greeter", embedded.Options{DevBroker: true, Modules: []string{"missing.yaml"}}, []func(*embedded.App){feed}, "missing.yaml: cannot be read"},
		{"greeter", embedded.Options{DevBroker: true, Partitions: -1}, []func(*embedded.App){serve, feed}, "partitions: -1"},
		{"greeter", embedded.Options{DevBroker: true, Properties: map[string]string{"linger.msec": "3"}}, []func(*embedded.App){serve, feed}, `"linger.msec"`},
	} {
		app := embedded.New(c.id, c.options)
		for _, part := range c.parts {
			part(app)
		}
		got := app.Run(within(t)).Error()
		if !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("want one problem, with %q:\n%s", c.want, got)
		}
	}
}
