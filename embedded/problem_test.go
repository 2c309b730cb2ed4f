package embedded_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// TestAllProblemsAreToldTogetherWithTheirLines has each of its faults on a line of its own: the numbers are of this file.
func TestAllProblemsAreToldTogetherWithTheirLines(t *testing.T) {
	module := write(t, "module.yaml", "kind: io.statefun.kafka.v1/egress\nspec:\n  id: example/greets\n  adress: kafka:9092\n")
	app := embedded.New("greeter", embedded.Options{Modules: []string{module}, Properties: map[string]string{"linger.msec": "3"}, Partitions: -1})
	app.Ingress(embedded.Topics("names", text, embedded.ByKey[[]byte](greeterType), "names"))
	app.Ingress(embedded.Topics("example/no-route", text, embedded.Route[[]byte](nil), "names"))
	app.Ingress(embedded.Topics("example/no-topic", text, embedded.ByKey[[]byte](greeterType)))
	app.Ingress(embedded.Go("example/no-type", statefun.Type[int]{}, embedded.ByKey[int](greeterType)).OnInvalid("retry"))
	app.Ingress(nil)
	app.Function(statefun.Function{Type: "greeter"})
	app.Function(statefun.Function{Type: greeterType, Invoke: greeter.Invoke}, embedded.MaxBatch(0), embedded.ConnectTimeout(time.Second))
	app.Function(statefun.Function{Type: greeterType, Invoke: greeter.Invoke}, embedded.OnFailure(embedded.Fail))
	app.Remote("example/remote", "ftp://there", embedded.MaxAttempts(-1), embedded.CallTimeout(0), embedded.Generation2("a", "a"))
	app.Egress("greets")
	embedded.Sink[[]byte](app, "example/greets", text, nil)
	embedded.Sink(app, "alarm", text, func(context.Context, embedded.Delivery[[]byte]) error { return nil })

	err := app.Run(within(t))
	if err == nil {
		t.Fatal("no error")
	}
	t.Log(err)
	for _, want := range []string{
		`problem_test.go:16: "linger.msec" is not a property of Kafka's clients (did you mean "linger.ms"?)`,
		"problem_test.go:16: application: partitions: -1",
		`problem_test.go:17: ingress: type name "names"`,
		`problem_test.go:18: ingress "example/no-route": the route is nil`,
		`problem_test.go:19: ingress "example/no-topic": it reads no topic`,
		`problem_test.go:20: ingress "example/no-type": the type of its values is none`,
		`problem_test.go:20: ingress "example/no-type": OnInvalid("retry"): use DeadLetter, Skip or Fail`,
		"problem_test.go:21: the ingress is nil",
		`problem_test.go:22: function "greeter": type name "greeter" is not of the form namespace/name; Invoke is nil`,
		`problem_test.go:23: function "example/greeter": MaxBatch(0)`,
		`problem_test.go:23: function "example/greeter": ConnectTimeout is for remote functions`,
		"problem_test.go:24: functions example/greeter are served twice, first at problem_test.go:23",
		`problem_test.go:24: function "example/greeter": OnFailure("fail"): use Retry, DeadLetter or Skip`,
		`problem_test.go:25: function "example/remote": MaxAttempts(-1)`,
		`problem_test.go:25: function "example/remote": CallTimeout(0s)`,
		`problem_test.go:25: function "example/remote": Generation2: the state "a" is empty or named twice`,
		`problem_test.go:25: functions example/remote: the URL has scheme "ftp"`,
		`problem_test.go:26: egress: type name "greets"`,
		`problem_test.go:27: sink "example/greets": the callback is nil`,
		`problem_test.go:27: sink example/greets has the id of an egress, declared at `,
		`problem_test.go:28: sink: type name "alarm"`,
		`module.yaml:4: spec: unknown key "adress"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
}

func TestAnIngressBelongsToOneApplication(t *testing.T) {
	clicks := embedded.Go("example/clicks", text, embedded.ByKey[[]byte](greeterType))
	if err := clicks.Append(within(t), "k", nil); err == nil || !strings.Contains(err.Error(), "give it to App.Ingress") {
		t.Errorf("of no application: %v", err)
	}
	one, two := embedded.New("one", quiet(t)), embedded.New("two", quiet(t))
	one.Ingress(clicks)
	two.Ingress(clicks)
	two.Function(greeter)
	if err := two.Run(within(t)); err == nil || !strings.Contains(err.Error(), `ingress "example/clicks" is added a second time`) {
		t.Errorf("of two applications: %v", err)
	}
}
