package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

const (
	// servingLimit is the promise for a worker that is started again on its folder.
	servingLimit = 2 * time.Second
	// replayFloor is the promise for a worker that must replay its changelog, in rows a second.
	replayFloor = 200_000
	// fillLimit bounds the time to give all addresses a state.
	fillLimit = 5 * time.Minute
	// stateBytes is the size of each state; with a million of them the state is larger than what the worker may hold.
	stateBytes = 300
	// probeID is the address that shows that the worker serves.
	probeID = "probe"
)

// TestRestartWithManyAddresses gives a million addresses a state, kills the worker, and measures how soon it serves
// again: on its folder, and with the folder gone.
func TestRestartWithManyAddresses(t *testing.T) {
	c := needBroker(t, kafka41)
	a := newApp(t, c)
	c.createTopic(t, a.topic("in"), 8)
	c.createTopic(t, a.topic("out"), 1)
	fn := &blob{topic: a.topic("out")}
	a.setModule(
		endpoint("e2e.many/fn", serve(t, fn).url()),
		ingress("e2e.many/in", ingressTopic{"in", "e2e.many/input", []string{"e2e.many/fn"}}),
		egress("e2e.many/out"))
	out := c.read(t, a.topic("out"))
	fill(t, c, a.topic("in"), *addressesFlag)

	w := a.startReady()
	probe := func() { c.send(t, &kgo.Record{Topic: a.topic("in"), Key: []byte(probeID), Value: []byte("x")}) }
	began := time.Now()
	await(t, fillLimit, "all states to be written", func() bool { return fn.stored.Load() >= int64(*addressesFlag) })
	probe()
	out.AwaitCount(t, time.Minute, 1)
	took := time.Since(began)
	t.Logf("%d addresses filled in %v (%.0f/s), peak memory %d MiB", *addressesFlag, took.Round(time.Millisecond),
		float64(*addressesFlag)/took.Seconds(), w.PeakMemory()>>20)

	w.Kill()
	probe()
	w = a.startReady()
	ready := time.Since(w.startedAt)
	out.AwaitCount(t, readyLimit, 2)
	serving := time.Since(w.startedAt)
	t.Logf("on its folder after kill -9: ready in %v, serving in %v", ready.Round(time.Millisecond), serving.Round(time.Millisecond))
	if serving > servingLimit {
		t.Errorf("a worker on its folder served after %v, not within %v", serving, servingLimit)
	}

	w.Kill()
	if err := os.RemoveAll(a.folder); err != nil {
		t.Fatal(err)
	}
	probe()
	w = a.startReady()
	out.AwaitCount(t, readyLimit, 3)
	wiped := time.Since(w.startedAt)
	took = restoreTime(t, w)
	rate := float64(*addressesFlag) / took.Seconds()
	t.Logf("from a wiped folder: serving in %v; %d states restored in %v, %.0f/s, peak memory %d MiB",
		wiped.Round(time.Millisecond), *addressesFlag, took, rate, w.PeakMemory()>>20)
	if rate < replayFloor {
		t.Errorf("restored %.0f states/s, less than %d/s", rate, replayFloor)
	}
	if w.Count(`"msg":"restoring"`) == 0 {
		t.Error("the log shows no progress of the replay")
	}
	if found := fn.seen.Load(); found != 2 {
		t.Errorf("%d of 2 probes found the state of the one before", found)
	}
	w.stop()
}

// restoreTime is how long the worker says that its partitions took from their assignment until they ran.
func restoreTime(t *testing.T, w *worker) time.Duration {
	t.Helper()
	line := w.awaitLine(t, time.Second, `"msg":"partitions run"`)
	took, err := time.ParseDuration(process.Attribute(line, "took"))
	if err != nil {
		t.Fatalf("the worker does not say how long its partitions took: %v: %s", err, line)
	}
	return took
}

// fill puts one record for each of n ids on the topic.
func fill(t *testing.T, c *cluster, topic string, n int) {
	t.Helper()
	var failed atomic.Value
	for i := range n {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "address-%d", i), Value: []byte("x")}
		c.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(err)
			}
		})
	}
	if err := c.client.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		t.Fatalf("produce the inputs: %v", err)
	}
}

// blob is a function written by hand for speed: it stores some bytes for each address, and for the probe it also
// writes a record.
type blob struct {
	topic  string
	stored atomic.Int64 // calls that stored a state
	seen   atomic.Int64 // probes that found their state
}

// The numbers of the protocol's fields that blob needs.
const (
	fieldInvocation = 100 // ToFunction.invocation, FromFunction.invocation_result
	fieldIncomplete = 101
	fieldState      = 2
	blobState       = "blob"
	blobType        = "e2e.many/blob"
)

func (f *blob) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	request, _ := field(body, fieldInvocation)
	state, known := field(request, fieldState)
	if !known {
		_, _ = w.Write(missingBlob())
		return
	}
	id, err := targetID(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	value := make([]byte, stateBytes)
	binary.BigEndian.PutUint64(value, uint64(len(id)))
	answer := message(nil, 1, blobMutation(value))
	if id == probeID {
		if _, there := field(state, 2); there {
			f.seen.Add(1)
		}
		answer = message(answer, 4, blobRecord(f.topic))
	}
	f.stored.Add(1)
	_, _ = w.Write(message(nil, fieldInvocation, answer))
}

// message appends a length-delimited field.
func message(dst []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), value)
}

// typedValue is a TypedValue.
func typedValue(typename string, value []byte) []byte {
	b := message(nil, 1, []byte(typename))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 1)
	return message(b, 3, value)
}

// missingBlob asks for the state.
func missingBlob() []byte {
	spec := message(message(nil, 1, []byte(blobState)), 3, []byte(blobType))
	return message(nil, fieldIncomplete, message(nil, 1, spec))
}

// blobMutation sets the state.
func blobMutation(value []byte) []byte {
	const modify = 1
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), modify)
	b = message(b, 2, []byte(blobState))
	return message(b, 3, typedValue(blobType, value))
}

// blobRecord is an egress message with a record for the topic.
func blobRecord(topic string) []byte {
	record := message(message(nil, 2, []byte("served")), 3, []byte(topic))
	b := message(message(nil, 1, []byte("e2e.many")), 2, []byte("out"))
	return message(b, 3, typedValue("type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord", record))
}
