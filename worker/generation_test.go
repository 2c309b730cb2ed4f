package worker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
)

// polyglotModule has the function test/f of 2.x, which reads the topic, and takes any other file beside it.
const polyglotModule = `version: "2.0"
module:
  meta: {type: remote}
  spec:
    functions:
      - function:
          meta: {kind: http, type: test/f}
          spec:
            endpoint: http://localhost:1/
            states: [{name: packed}, {name: raw}]
    ingresses:
      - ingress:
          meta: {type: statefun.kafka.io/routable-protobuf-ingress, id: test/in}
          spec:
            address: localhost:1
            consumerGroupId: app
            startupPosition: {type: earliest}
            topics: [{topic: in, typeUrl: com.googleapis/test.Command, targets: [test/f]}]
    egresses:
      - egress:
          meta: {type: statefun.kafka.io/generic-egress, id: test/out}
          spec: {address: "localhost:1"}
`

func polyglotWorld(t *testing.T) *world {
	t.Helper()
	b, err := broker.Start(broker.Config{Topics: []broker.Topic{{Name: "in", Partitions: 2}, {Name: "out", Partitions: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return newWorldAt(t, polyglotModule, b.Addr())
}

// seen is what functions were sent, a line a call.
type seen struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func (s *seen) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
	close(s.more)
	s.more = make(chan struct{})
}

// wait waits for a line that holds the text.
func (s *seen) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		all, more := strings.Join(s.lines, "\n"), s.more
		s.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%q was not seen in\n%s", text, all)
		}
	}
}

// packed is a google.protobuf.Any.
func packed(url, value string) []byte {
	return message(message(nil, 1, []byte(url)), 2, []byte(value))
}

// writing is a mutation of either generation.
func writing(state string, value []byte) []byte {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	return message(nil, 1, message(message(m, 2, []byte(state)), 3, value))
}

// polyglotF writes its two states and sends its argument to the function test/g when there is one.
func (s *seen) polyglotF(request []byte, send bool) ([]byte, error) {
	var states, arguments []string
	err := fields(request, func(_ protowire.Number, batch []byte) error {
		return fields(batch, func(n protowire.Number, v []byte) error {
			var part []string
			err := fields(v, func(_ protowire.Number, f []byte) error { part = append(part, fmt.Sprintf("%q", f)); return nil })
			switch n {
			case 2:
				states = append(states, strings.Join(part, "="))
			case 3:
				arguments = append(arguments, part[len(part)-1])
			}
			return err
		})
	})
	s.add("f " + strings.Join(states, " ") + ": " + strings.Join(arguments, " "))
	result := append(writing("packed", packed("type.googleapis.com/a.B", "count")), writing("raw", []byte("just bytes"))...)
	if send {
		to := protocol.AppendAddress(nil, protocol.Address{Type: protocol.TypeName{Namespace: "test", Name: "g"}, ID: "1"})
		result = append(result, message(nil, 2, message(message(nil, 1, to), 2, packed("type.googleapis.com/a.B", "hello")))...)
	}
	record := message(message(message(nil, 1, []byte("f")), 2, []byte("done")), 3, []byte("out"))
	egress := message(message(nil, 1, []byte("test")), 2, []byte("out"))
	egress = message(egress, 3, packed("type.googleapis.com/org.apache.flink.statefun.flink.io.KafkaProducerRecord", string(record)))
	return message(nil, 100, message(result, 4, egress)), err
}

// asking asks for the state under the type, and notes what it is sent.
func (s *seen) asking(request []byte, state, typename string) ([]byte, error) {
	c, err := parseCall(request)
	if err != nil {
		return nil, err
	}
	if !c.knows(state) {
		return message(nil, 101, message(nil, 1, message(message(nil, 1, []byte(state)), 3, []byte(typename)))), nil
	}
	s.add(fmt.Sprintf("%s %s=%q", c.target, state, c.states[state]))
	var a reply
	a.egress("test/out", "out", c.target.ID, "done")
	return a.bytes(), nil
}

func TestStateOfA2xFunctionIsReadByA3xFunctionWhereItsBytesMeanTheSame(t *testing.T) {
	w, dir := polyglotWorld(t), t.TempDir()
	s := &seen{more: make(chan struct{})}
	c := w.config(dir)
	c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
		return s.polyglotF(request, false)
	}
	_, stop := w.run(c)
	w.send("x", "one")
	w.collect("out", 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.wait(t, `f "packed" "raw": "\n\x1bcom.googleapis/test.Command\x12\x03one"`)

	for _, move := range []struct{ state, typename, sees string }{
		{"packed", "type.googleapis.com/a.B", `test/f/x packed="count"`},
		{"raw", protocol.OpaqueType, `test/f/x raw="just bytes"`},
	} {
		w.module = loadModule(t, moduleText)
		c = w.config(dir)
		c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			return s.asking(request, move.state, move.typename)
		}
		_, stop = w.run(c)
		w.send("x", "two")
		s.wait(t, move.sees)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStateWhoseBytesMeanSomethingElseIsRefusedByNameAfterAMove(t *testing.T) {
	w, dir := polyglotWorld(t), t.TempDir()
	s := &seen{more: make(chan struct{})}
	c := w.config(dir)
	c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
		return s.polyglotF(request, false)
	}
	_, stop := w.run(c)
	w.send("x", "one")
	w.collect("out", 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for state, stored := range map[string]string{"packed": "type.googleapis.com/a.B", "raw": protocol.OpaqueType} {
		w.module = loadModule(t, strings.Replace(moduleText, "functions: test/*", "functions: test/*\n  onFailure: dead-letter", 1))
		c = w.config(dir)
		c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			return s.asking(request, state, "io.statefun.types/int")
		}
		_, stop = w.run(c)
		w.send("x", "two of "+state)
		want := fmt.Sprintf(`state %q of test/f/x: stored with type %s, the function now declares io.statefun.types/int: declare it as %s or give the state a new name`, state, stored, stored)
		w.awaitDeadLetter(t, want)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitDeadLetter waits for a dead letter that gives this reason.
func (w *world) awaitDeadLetter(t *testing.T, detail string) {
	t.Helper()
	said := func(r *kgo.Record) bool {
		return slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return strings.Contains(string(h.Value), detail) })
	}
	for n := 1; !slices.ContainsFunc(w.collect("app-dead-letter", n), said); n++ {
	}
}

func TestFunctionsOfBothGenerationsSendToEachOther(t *testing.T) {
	w, dir := polyglotWorld(t), t.TempDir()
	folder := t.TempDir()
	for name, text := range map[string]string{"two.yaml": polyglotModule, "three.yaml": "kind: io.statefun.endpoints.v2/http\nspec: {functions: test/g, urlPathTemplate: http://localhost:1/}\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.module, err = module.Load([]string{folder}, module.Options{}); err != nil {
		t.Fatal(err)
	}
	s := &seen{more: make(chan struct{})}
	c := w.config(dir)
	c.Functions = func(_ context.Context, to protocol.TypeName, request []byte) ([]byte, error) {
		if to.Name == "f" {
			return s.polyglotF(request, strings.Contains(string(request), "test.Command")) // of the ingress
		}
		call, err := parseCall(request)
		if err != nil {
			return nil, err
		}
		s.add(fmt.Sprintf("g %q from %s", call.arguments, call.callers))
		var a reply
		a.send(protocol.Address{Type: protocol.TypeName{Namespace: "test", Name: "f"}, ID: "y"}, "back")
		a.egress("test/out", "out", "g", "done")
		return a.bytes(), nil
	}
	w.run(c)
	w.send("x", "one")
	s.wait(t, `g ["hello"] from [test/f/x]`)
	s.wait(t, `: "\n\ftest/command\x12\x04back"`)
	w.collect("out", 3)
}

func TestTheMessagesOfARecordShareAPartitionOrCross(t *testing.T) {
	const n = 4
	byPartition := map[int32][]string{}
	for i := range 100 {
		id := fmt.Sprint("id", i)
		byPartition[router.Partition(id, n)] = append(byPartition[router.Partition(id, n)], id)
	}
	for name, c := range map[string]struct {
		ids  []string
		want int32
	}{
		"one target":               {byPartition[2][:1], 2},
		"one id":                   {[]string{byPartition[1][0], byPartition[1][0]}, 1},
		"ids of one partition":     {byPartition[3][:3], 3},
		"ids of several":           {[]string{byPartition[0][0], byPartition[0][1], byPartition[1][0]}, manyPartitions},
		"the first two of several": {[]string{byPartition[0][0], byPartition[2][0], byPartition[2][1]}, manyPartitions},
	} {
		var envelopes []protocol.Envelope
		for _, id := range c.ids {
			envelopes = append(envelopes, protocol.Envelope{Target: protocol.Address{ID: id}})
		}
		if got := sharedPartition(envelopes, n); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
