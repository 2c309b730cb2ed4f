package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/reader"
)

// TestTheShopRunsOnAWorker runs the example as it is: its module, a worker with the development broker as a process of
// its own, and the functions behind HTTP. With -short it is skipped.
func TestTheShopRunsOnAWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shop, err := statefun.NewHandler(functions...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(shop)
	defer server.Close()
	broker := startWorker(ctx, t, server.URL+"/statefun")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	record := func(topic, key, value string) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
	}
	send := func(records ...*kgo.Record) {
		t.Helper()
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	received := reader.Start(t, reader.Options{Brokers: broker, Topics: []string{"shop-receipts"}})
	// Nothing orders a delivery before a user's command, so tea is there before anybody asks: the first receipt of
	// another user says so.
	send(record("shop-restock", "tea", `{"quantity": 5}`))
	n := 0
	for served := false; !served; {
		n++
		send(record("shop-commands", "probe", `{"add": {"item": "tea", "quantity": 1}}`), record("shop-commands", "probe", `{"checkout": true}`))
		r := receipt(t, received, n)
		if r.User != "probe" || r.Number != int64(n) {
			t.Fatalf("the probe's receipt %d is %+v", n, r)
		}
		served = r.Items["tea"] == 1
	}
	send(record("shop-commands", "ada", `{"add": {"item": "tea", "quantity": 3}}`),
		record("shop-commands", "ada", `{"add": {"item": "tea", "quantity": 3}}`),
		record("shop-commands", "ada", `{"checkout": true}`))
	want := map[string]int64{"tea": 4}
	if r := receipt(t, received, n+1); r.User != "ada" || r.Number != 1 || !maps.Equal(r.Items, want) {
		t.Errorf("ada's receipt is %+v", r)
	}
}

// startWorker builds the program and runs a worker with a broker, whose address it returns.
func startWorker(ctx context.Context, t *testing.T, functions string) (broker string) {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(folder, "statefun-kafka")
	if err := process.Build(ctx, program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "dev", "--module", "module.yaml", "--topic", "shop-receipts:1", "--broker-addr", "127.0.0.1:0",
		"--admin-addr", "127.0.0.1:0", "--state-dir", filepath.Join(folder, "state"), "--log-format", "json")
	cmd.Env = append(os.Environ(), "SHOP_URL="+functions)
	worker, err := process.Start("worker", filepath.Join(folder, "worker.log"), cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		worker.Kill()
		if t.Failed() {
			t.Logf("the worker said:\n%s", worker.Tail(40))
		}
	})
	if broker = process.Attribute(worker.Await(ctx, 30*time.Second, `"broker":"`), "broker"); broker == "" {
		t.Fatal("the worker does not say where its broker listens")
	}
	return broker
}

// receipt waits for the receipt of that number, over all users.
func receipt(t *testing.T, received *reader.Reader, number int) (r Receipt) {
	t.Helper()
	value := received.AwaitCount(t, time.Minute, number)[number-1].Value
	if err := json.Unmarshal(value, &r); err != nil {
		t.Fatalf("receipt %q: %v", value, err)
	}
	return r
}
