package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/rescale"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// rescaledModule is for N = %d partitions.
const rescaledModule = `
kind: statefun-kafka.v1/application
spec: {id: app, partitions: %d}
---
kind: io.statefun.endpoints.v2/http
spec: {functions: t/*, urlPathTemplate: "http://localhost:1/"}
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: t/in
  address: BROKER
  consumerGroupId: app
  startupPosition: {type: earliest}
  topics: [{topic: in, valueType: io.statefun.types/string, targets: [t/f]}]
---
kind: io.statefun.kafka.v1/egress
spec: {id: t/out, address: BROKER}
`

// flock is an application whose every effect can be told from the records of its egress: <function>/<id> = <count> <text>.
type flock struct {
	t       *testing.T
	addr    string
	client  *kgo.Client
	blocked atomic.Bool
	invoke  func(context.Context, []byte) ([]byte, error)
	disks   string
	next    map[string]int      // of the commands sent to each id
	want    map[string][]string // texts in their order, by address and sender
}

func newFlock(t *testing.T) *flock {
	t.Helper()
	log.SetOutput(io.Discard) // the SDK logs every registration
	f := &flock{t: t, addr: startBroker(t, broker.Topic{Name: "in", Partitions: 6}, broker.Topic{Name: "out", Partitions: 3}),
		disks: t.TempDir(), next: map[string]int{}, want: map[string][]string{}}
	client, err := kgo.NewClient(kgo.SeedBrokers(f.addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f.client = client
	count := statefun.ValueSpec{Name: "n", ValueType: statefun.Int32Type}
	builder := statefun.StatefulFunctionsBuilder()
	for name, function := range map[string]statefun.StatefulFunctionPointer{"t/f": f.first, "t/g": f.second, "t/h": f.second} {
		err := builder.WithSpec(statefun.StatefulFunctionSpec{FunctionType: statefun.TypeNameFrom(name), States: []statefun.ValueSpec{count},
			Function: statefun.StatefulFunctionPointer(func(ctx statefun.Context, m statefun.Message) error {
				if f.blocked.Load() && (strings.HasPrefix(ctx.Self().Id, "stuck") || name == "t/g") {
					return errors.New("blocked")
				}
				var n int32
				ctx.Storage().Get(count, &n)
				n++
				ctx.Storage().Set(count, n)
				ctx.SendEgress(statefun.KafkaEgressBuilder{Target: statefun.TypeNameFrom("t/out"), Topic: "out",
					Key: strings.TrimPrefix(name, "t/") + "/" + ctx.Self().Id, Value: fmt.Sprintf("%d %s", n, m.AsString())})
				return function(ctx, m)
			})})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.invoke = builder.AsHandler().Invoke
	return f
}

// first sends on what it is told, sets timers and cancels them.
func (f *flock) first(ctx statefun.Context, m statefun.Message) error {
	id, words := ctx.Self().Id, strings.Fields(m.AsString())
	token, err := statefun.NewCancellationToken("token-" + words[len(words)-1])
	if err != nil {
		return err
	}
	to := func(function, id, text string) statefun.MessageBuilder {
		return statefun.MessageBuilder{Target: statefun.Address{FunctionType: statefun.TypeNameFrom(function), Id: id}, Value: text}
	}
	switch words[1] {
	case "send":
		ctx.Send(to("t/g", words[2], id+" "+words[0]))
	case "later":
		ctx.SendAfter(3*time.Second, to("t/h", id, id+" "+words[0]))
	case "timer":
		ctx.SendAfterWithCancellationToken(time.Hour, token, to("t/h", id, id+" "+words[0]))
	case "cancel":
		ctx.CancelDelayedMessage(token)
	}
	return nil
}

func (f *flock) second(statefun.Context, statefun.Message) error { return nil }

// tell makes the next command of an id; what comes of it is expected. Every path of an id's commands keeps one order.
func (f *flock) tell(id, command string) string {
	f.next[id]++
	text := fmt.Sprintf("%d %s", f.next[id], command)
	f.expect("f/"+id, "", text)
	words := strings.Fields(command)
	switch words[0] {
	case "send":
		f.expect("g/"+words[1], id, fmt.Sprintf("%s %d", id, f.next[id]))
	case "later":
		f.expect("h/"+id, id, fmt.Sprintf("%s %d", id, f.next[id]))
	}
	return text
}

func (f *flock) expect(address, sender, text string) {
	key := address + " from " + sender
	f.want[key] = append(f.want[key], text)
}

func (f *flock) send(id, command string) {
	f.t.Helper()
	r := &kgo.Record{Topic: "in", Key: []byte(id), Value: stringValue(f.tell(id, command))}
	if err := f.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// stringValue is a value of the SDK's string type.
func stringValue(s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s)
}

// mail leaves a command in the mailbox as another worker would that read it from an ingress partition.
func (f *flock) mail(topic string, n int32, id, command string) {
	f.t.Helper()
	value := protocol.AppendTypedValue(nil, "io.statefun.types/string", stringValue(f.tell(id, command)))
	e := protocol.Envelope{Target: protocol.Address{Type: protocol.TypeName{Namespace: "t", Name: "f"}, ID: id}, Invocation: protocol.AppendInvocation(nil, nil, value)}
	key, data := router.Encode(e)
	client, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		f.t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: topic, Partition: router.Partition(id, n), Key: key, Value: data}
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// inProcess is the module for n partitions with its functions in this program.
func (f *flock) inProcess(n int) *module.Module {
	f.t.Helper()
	m, err := module.Load([]string{writeModule(f.t, fmt.Sprintf(rescaledModule, n), f.addr)}, module.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range m.Endpoints {
		m.Endpoints[i].Transport = module.Transport{Kind: module.TransportInProcess}
	}
	return m
}

// start runs a worker on n partitions until stop.
func (f *flock) start(n int) (stop func()) {
	f.t.Helper()
	logs := slog.New(slog.DiscardHandler)
	if os.Getenv("RESCALE_TEST_LOG") != "" {
		logs = slog.Default()
	}
	w, err := worker.New(worker.Config{Module: f.inProcess(n), Brokers: []string{f.addr}, StateDir: f.disks, WorkerID: "w1", Logger: logs,
		Functions: func(ctx context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			return f.invoke(ctx, request)
		}})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	f.until("the worker is ready", func() bool {
		select {
		case err := <-ended:
			f.t.Fatalf("the worker ended: %v", err)
		default:
		}
		return w.Ready() == nil
	})
	return func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *flock) until(what string, met func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// heard reads all committed records of the egress, by their keys.
func (f *flock) heard() map[string][]string {
	f.t.Helper()
	got := map[string][]string{}
	for _, r := range committed(f.t, f.addr, "out") {
		got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
	}
	return got
}

// committed reads a topic to its end; what is behind an open transaction is not there.
func committed(t *testing.T, addr, topic string) (records []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return records
		}
		records = append(records, fetches.Records()...)
	}
}

// await waits until everything that is expected of the addresses has come, no matter in which order.
func (f *flock) await(chosen func(address string) bool) {
	f.t.Helper()
	count := func(all map[string][]string) (n int) {
		for key, texts := range all {
			if address, _, _ := strings.Cut(key, " "); chosen(address) {
				n += len(texts)
			}
		}
		return n
	}
	want := count(f.want)
	f.until(fmt.Sprintf("%d effects", want), func() bool { return count(f.heard()) >= want })
}

// check holds all effects against what is expected: counts without a gap, and what one sender sent in its order.
func (f *flock) check() {
	f.t.Helper()
	got := map[string][]string{}
	for address, values := range f.heard() {
		for i, value := range values {
			n, text, _ := strings.Cut(value, " ")
			if n != strconv.Itoa(i+1) {
				f.t.Errorf("%s: effect %d says that it is number %s", address, i+1, n)
			}
			sender := ""
			if !strings.HasPrefix(address, "f/") {
				sender, _, _ = strings.Cut(text, " ")
			}
			key := address + " from " + sender
			got[key] = append(got[key], text)
		}
	}
	for key, want := range f.want {
		if !slices.Equal(got[key], want) {
			f.t.Errorf("%s:\n got %q\nwant %q", key, got[key], want)
		}
		delete(got, key)
	}
	for key, texts := range got {
		f.t.Errorf("%s: nobody sent %q", key, texts)
	}
}

func (f *flock) config(n int32) rescale.Config {
	f.t.Helper()
	m, err := module.Load([]string{writeModule(f.t, fmt.Sprintf(rescaledModule, n), f.addr)}, module.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	c := rescale.Config{ApplicationID: "app", Partitions: n, WorkDir: f.t.TempDir(), RowsAtOnce: 40}
	if c.Reading, c.Producing, err = (target{brokers: m.Brokers, module: m}).settings(&program{log: slog.New(slog.DiscardHandler)}); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// rescaleThroughCrashes is cut short at every point in turn, by an error that ends it or by its context, and run again. A run
// reaches at least one point more than the one before, so it comes to an end.
func (f *flock) rescaleThroughCrashes(n int32) *rescale.Report {
	f.t.Helper()
	crash := errors.New("crash")
	for point := 0; ; point++ {
		c := f.config(n)
		ctx, cancel := context.WithCancel(context.Background())
		passed, at := 0, ""
		c.At = func(name string) error {
			passed++
			if passed <= point {
				return nil
			}
			at = name
			if point%2 == 0 {
				return crash
			}
			cancel()
			return nil
		}
		report, err := rescale.Run(ctx, c)
		cancel()
		if err == nil {
			f.t.Logf("to %d partitions: %d points of interruption", n, point)
			return report
		}
		if !errors.Is(err, crash) && !errors.Is(err, context.Canceled) {
			f.t.Fatalf("at point %d, %s: %v", point, at, err)
		}
		if at == "write/1" || at == "done" {
			_, said := run(f.t, exitFailure, []string{"topics", "--module", writeModule(f.t, fmt.Sprintf(rescaledModule, n), f.addr)})
			has(f.t, said, "topic app-rescale-journal: rescale is incomplete", "rescale --abort")
		}
	}
}

func TestARescaledApplicationDoesEverythingOnceAndInOrder(t *testing.T) {
	f := newFlock(t)
	f.blocked.Store(true)
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%d", i)
	}
	round := func(name string) {
		for i, id := range ids {
			f.send(id, fmt.Sprintf("send x%d", i%7))
			f.send(id, "timer "+name)
			if i%4 == 0 {
				f.send(id, "later")
			}
			f.send(id, fmt.Sprintf("send x%d", i%7))
			f.send("stuck-"+id, "note")
		}
	}
	unread := func(mailbox string, n int32) {
		for i, id := range ids {
			f.mail(mailbox, n, id, fmt.Sprintf("send x%d", i%7))
			f.mail(mailbox, n, id, "note")
			f.send(id, "note") // behind the messages that crossed
			f.send(id, fmt.Sprintf("send x%d", i%7))
		}
	}
	free := func(address string) bool { return strings.HasPrefix(address, "f/id-") }

	stop := f.start(4)
	round("a")
	f.await(free)
	stop()
	unread("app-mailbox", 4)
	report := f.rescaleThroughCrashes(7)
	if report.State != rescale.StateComplete {
		t.Fatalf("%+v", report)
	}
	verified, err := rescale.Verify(context.Background(), f.config(7))
	if err != nil || verified.State != rescale.StateVerified || verified.Unread != int64(2*len(ids)) {
		t.Fatalf("%+v, %v", verified, err)
	}

	stop = f.start(7)
	round("b")
	for _, id := range ids[:20] {
		f.send(id, "cancel a")
	}
	f.await(free)
	stop()
	unread("app-mailbox-g2", 7)
	if _, err := rescale.DeleteOld(context.Background(), f.config(7)); err != nil {
		t.Fatal(err)
	}
	f.rescaleThroughCrashes(2)

	f.blocked.Store(false)
	stop = f.start(2)
	for _, id := range ids[10:] {
		f.send(id, "cancel b")
	}
	f.await(func(string) bool { return true })
	stop()
	f.check()
	f.checkTimers(ids)
}

// checkTimers holds the timers that are left against those that were never cancelled.
func (f *flock) checkTimers(ids []string) {
	f.t.Helper()
	left := map[string]*kgo.Record{}
	for _, r := range committed(f.t, f.addr, "app-changelog-g3") {
		left[fmt.Sprint(r.Partition, string(r.Key))] = r
	}
	got, tokens := map[string]int{}, 0
	for _, r := range left {
		if r.Value == nil || r.Key[0] != state.KindTimer {
			if r.Value != nil && r.Key[0] == state.KindToken {
				tokens++
			}
			continue
		}
		timer, err := state.ParseTimer(r.Value)
		if err != nil {
			f.t.Fatal(err)
		}
		got[timer.Sender+" "+timer.Token]++
	}
	want := 0
	for i, id := range ids {
		for token, live := range map[string]bool{"token-a": i >= 20, "token-b": i < 10} {
			if live {
				want++
			}
			if n := got[id+" "+token]; (n == 1) != live {
				f.t.Errorf("%d timers of %s with %s are left", n, id, token)
			}
		}
	}
	if tokens != want {
		f.t.Errorf("%d tokens are left, want %d", tokens, want)
	}
}
