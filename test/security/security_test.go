package security

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// startLimit is for a worker on a machine with much else to do.
const startLimit = 60 * time.Second

// secrets are what no log may hold.
var secrets = []string{plainSecret, "secret\"of", `secret\"of`, "of\\sam", clientSecret, trustStoreSecret, keyStoreSecret, keySecret, "PRIVATE KEY"}

// application is one worker with its topics and its function.
type application struct {
	*cluster
	name, folder, program string
	address               string // of the brokers
	properties            []string
	environment           []string
	url                   string
}

// module has the security beside the ingress; it holds for all clients of the cluster.
func (a *application) module() string {
	var lines strings.Builder
	for i := 0; i < len(a.properties); i += 2 {
		fmt.Fprintf(&lines, "    - %s: %q\n", a.properties[i], a.properties[i+1])
	}
	return fmt.Sprintf(`kind: io.statefun.endpoints.v2/http
spec:
  functions: test/*
  urlPathTemplate: %s
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: test/in
  address: %s
  consumerGroupId: %s
  startupPosition: {type: earliest}
  topics:
    - {topic: %s-in, valueType: test/bytes, targets: [test/echo]}
  properties:
%s---
kind: io.statefun.kafka.v1/egress
spec:
  id: test/out
  address: %s
`, a.url, a.address, a.name, a.name, lines.String(), a.address)
}

func (a *application) start(t *testing.T) *process.Process {
	t.Helper()
	file := filepath.Join(a.folder, a.name+".yaml")
	if err := os.WriteFile(file, []byte(a.module()), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(a.program, append(args, "--log-level", "debug", "--log-format", "json")...)
		cmd.Env = append(os.Environ(), a.environment...)
		return cmd
	}
	if out, err := command("validate", file).CombinedOutput(); err != nil {
		t.Fatalf("validate: %v\n%s", err, out)
	} else {
		a.holdsNoSecret(t, "what validate says", string(out))
	}
	p, err := process.Start(a.name, filepath.Join(a.folder, a.name+".log"),
		command("run", "--module", file, "--state-dir", filepath.Join(a.folder, a.name), "--admin-addr", "127.0.0.1:0", "--worker-id", "w1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the worker said:\n%s", p.Tail(40))
		}
	})
	return p
}

func (a *application) holdsNoSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds the secret %q", what, secret)
		}
	}
}

// echo sends what it gets to the topic behind its name.
func echo(t *testing.T) string {
	t.Helper()
	builder := statefun.StatefulFunctionsBuilder()
	err := builder.WithSpec(statefun.StatefulFunctionSpec{
		FunctionType: statefun.TypeNameFrom("test/echo"),
		Function: statefun.StatefulFunctionPointer(func(ctx statefun.Context, m statefun.Message) error {
			ctx.SendEgress(statefun.KafkaEgressBuilder{
				Target: statefun.TypeNameFrom("test/out"), Topic: ctx.Self().Id, Key: ctx.Self().Id, Value: m.RawValue(),
			})
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(builder.AsHandler())
	t.Cleanup(server.Close)
	return server.URL
}

// roundTrip sends a record through the worker and waits for what comes out, committed.
func (a *application) roundTrip(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	in, out := a.name+"-in", a.name+"-out"
	created, err := kadm.NewClient(a.client).CreateTopics(ctx, 2, 1, nil, in, out)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := a.start(t)
	if err := a.client.ProduceSync(ctx, &kgo.Record{Topic: in, Key: []byte(out), Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(a.Addr()), kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	fetches := reader.PollFetches(ctx)
	if records := fetches.Records(); len(records) != 1 || string(records[0].Value) != "hello" {
		t.Fatalf("%d records came out (%v)", len(records), fetches.Err0())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil || !p.AwaitEnd(20*time.Second) || p.Code() != 0 {
		t.Errorf("the worker ended with %v, exit code %d", err, p.Code())
	}
	text, err := os.ReadFile(p.Log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"level":"DEBUG"`) {
		t.Error("the log has no debug lines")
	}
	a.holdsNoSecret(t, "the log", string(text))
}

func TestTheWorkerGetsInByEveryNameOfTheJavaClients(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Kafka and processes; not with -short")
	}
	if err := realkafka.Available(); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"keytool", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	program := filepath.Join(folder, "statefun-kafka")
	if err := process.Build(t.Context(), program); err != nil {
		t.Fatal(err)
	}
	k := newKeys(t, folder)
	idp := newTokens(t, k)
	c := startCluster(t, k, idp)
	url := echo(t)
	files := clientFiles(t, k)
	for name, way := range ways(c, idp, files) {
		t.Run(name, func(t *testing.T) {
			a := &application{cluster: c, name: strings.ReplaceAll(name, " ", "-"), folder: folder, program: program, url: url,
				address: way.address, properties: way.properties, environment: way.environment}
			a.roundTrip(t)
		})
	}
	t.Run("a token", func(t *testing.T) {
		issued := idp.given()
		if len(issued) == 0 {
			t.Fatal("no token was asked for")
		}
		log, err := os.ReadFile(filepath.Join(folder, "oauthbearer.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range issued {
			if strings.Contains(string(log), token[len(token)-40:]) {
				t.Error("the log holds a token")
			}
		}
	})
	t.Run("refused", func(t *testing.T) { refused(t, c, folder, program, url, files) })
}
