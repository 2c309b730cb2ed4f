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

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// TestTheShopRunsOnAWorker runs the example as it is: its module, a worker with the development broker as a process of
// its own, and the functions behind HTTP. With -short it is skipped.
func TestTheShopRunsOnAWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shop, err := handler()
	if err != nil {
		t.Fatal(err)
	}
	functions := httptest.NewServer(shop)
	defer functions.Close()
	client := startWorker(ctx, t, functions.URL+"/statefun")

	record := func(topic, key, value string) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
	}
	// Nothing orders a delivery before a user's command, so tea is there before anybody asks: the first receipt of
	// another user says so.
	send := func(records ...*kgo.Record) {
		t.Helper()
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	send(record("shop-restock", "tea", `{"quantity": 5}`))
	for n := int64(1); ; n++ {
		send(record("shop-commands", "probe", `{"add": {"item": "tea", "quantity": 1}}`), record("shop-commands", "probe", `{"checkout": true}`))
		if r := nextReceipt(ctx, t, client); r.User != "probe" || r.Number != n {
			t.Fatalf("the probe's receipt %d is %+v", n, r)
		} else if r.Items["tea"] == 1 {
			break
		}
	}
	send(record("shop-commands", "ada", `{"add": {"item": "tea", "quantity": 3}}`),
		record("shop-commands", "ada", `{"add": {"item": "tea", "quantity": 3}}`),
		record("shop-commands", "ada", `{"checkout": true}`))
	want := map[string]int64{"tea": 4}
	if r := nextReceipt(ctx, t, client); r.User != "ada" || r.Number != 1 || !maps.Equal(r.Items, want) {
		t.Errorf("ada's receipt is %+v", r)
	}
}

// startWorker builds the program and runs a worker with a broker, and opens a client that reads the receipts.
func startWorker(ctx context.Context, t *testing.T, functions string) *kgo.Client {
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
	broker := process.Attribute(worker.Await(ctx, 30*time.Second, `"broker":"`), "broker")
	if broker == "" {
		t.Fatal("the worker does not say where its broker listens")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("shop-receipts"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// nextReceipt waits for a receipt. Each is waited for before the next can come, so a fetch brings one.
func nextReceipt(ctx context.Context, t *testing.T, client *kgo.Client) (r Receipt) {
	t.Helper()
	for {
		fetches := client.PollRecords(ctx, 1)
		if err := ctx.Err(); err != nil {
			t.Fatalf("wait for a receipt: %v", err)
		}
		for _, record := range fetches.Records() {
			if err := json.Unmarshal(record.Value, &r); err != nil {
				t.Fatalf("receipt %q: %v", record.Value, err)
			}
			return r
		}
	}
}
