package sdks

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/reader"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// cluster is one running broker.
type cluster struct {
	address string
	client  *kgo.Client
}

// startCluster runs a broker until the end of the test.
func startCluster(t *testing.T, kind, worker string) *cluster {
	t.Helper()
	c := &cluster{}
	if kind == embedded {
		p := start(t, "broker", exec.Command(worker, "broker", "--addr", "127.0.0.1:0", "--log-format", "json"))
		c.address = p.attribute(t, "broker")
	} else {
		b, err := realkafka.Start(t.Context(), realkafka.Options{Version: kind})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Stop() })
		c.address = b.Addr()
	}
	var err error
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(c.address), kgo.ProducerLinger(0), kgo.MetadataMinAge(100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	return c
}

func (c *cluster) createTopics(t *testing.T, partitions int32, names ...string) {
	t.Helper()
	answers, err := kadm.NewClient(c.client).CreateTopics(t.Context(), partitions, 1, nil, names...)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatalf("create topics %v: %v", names, err)
	}
}

// scriptValue is a script for an id, as the SDKs' string type is written: a message with one field.
func scriptValue(id, script string) []byte {
	script = strings.ReplaceAll(script, "%", id)
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), script)
}

// send writes scripts for one id. The records have headers, which functions see where the module forwards them.
func (c *cluster) send(ctx context.Context, topic, id string, scripts ...string) error {
	var records []*kgo.Record
	for _, script := range scripts {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(id), Value: scriptValue(id, script), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte(id)}, {Key: "empty"}}})
	}
	if err := c.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce %d scripts for %s: %w", len(records), id, err)
	}
	return nil
}

// read starts a reader that ends with the test. The topics must exist.
func (c *cluster) read(t *testing.T, topics ...string) *reader.Reader {
	t.Helper()
	return reader.Start(t, reader.Options{Brokers: c.address, Topics: topics})
}

// started is a process of the test.
type started struct{ *process.Process }

var (
	logs   = map[string]int{}
	logsMu sync.Mutex
)

// start runs a program until the end of the test; the end of its log is shown when the test fails.
func start(t *testing.T, name string, cmd *exec.Cmd) started {
	t.Helper()
	p, err := launch(name, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("end of %s:\n%s", p.Log, p.Tail(20))
		}
	})
	return started{p}
}

func launch(name string, cmd *exec.Cmd) (*process.Process, error) {
	logsMu.Lock()
	logs[name]++
	log := filepath.Join(folder, fmt.Sprintf("%s-%d.log", name, logs[name]))
	logsMu.Unlock()
	return process.Start(name, log, cmd)
}

// attribute waits for a log line in JSON with an attribute of that name, and returns its value.
func (p started) attribute(t *testing.T, name string) string {
	t.Helper()
	line := p.Await(t.Context(), 30*time.Second, `"`+name+`":`)
	fields := map[string]any{}
	if json.Unmarshal([]byte(line), &fields) == nil {
		if text, ok := fields[name].(string); ok {
			return text
		}
	}
	t.Fatalf("%s does not log %q:\n%s", p.Name, name, p.Tail(20))
	return ""
}
