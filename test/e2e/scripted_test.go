package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/reader"
)

// order is what a scripted function does wrong besides its work, which is to count its input and write it out.
type order struct {
	Egress string   // its record goes to this egress
	Topic  string   // its record goes to this topic of the application, or to this text when it is no word
	Size   int      // its record has this many bytes more
	SendTo string   // it sends a message to this type
	Tokens []string // it schedules a delayed message with each of these tokens
}

// scripted is an application with one function type whose addresses are told what to do by the test.
type scripted struct {
	t      *testing.T
	app    *app
	faults *faults
	away   *host // of another type; nobody listens there at first
	out    *reader.Reader

	mu     sync.Mutex
	orders map[string]order
}

// output is what a scripted function writes about each input.
type output struct {
	ID    string `json:"id"`
	Seq   int64  `json:"seq"`
	Input int    `json:"input"`
	Pad   string `json:"pad,omitempty"`
}

func newScripted(t *testing.T, c *cluster) *scripted {
	t.Helper()
	s := &scripted{t: t, app: newApp(t, c), faults: newFaults(), orders: map[string]order{}}
	for _, topic := range []string{"in", "lost", "away"} {
		c.createTopic(t, s.app.topic(topic), 4)
	}
	c.createTopic(t, s.app.topic("out"), 2)
	functions := s.handler()
	s.away = serve(t, functions)
	s.away.close()
	// The calls get a small budget, so that the failure policy is reached soon.
	s.app.setModule(
		endpoint("e2e.bad/fn", serve(t, s.faults.before(functions)).url(), "call: 2s", "connect: 1s"),
		endpoint("e2e.away/fn", s.away.url(), "call: 2s", "connect: 1s"),
		ingress("e2e.bad/in",
			ingressTopic{"in", "e2e.bad/input", []string{"e2e.bad/fn"}},
			ingressTopic{"away", "e2e.bad/input", []string{"e2e.away/fn"}},
			ingressTopic{"lost", "e2e.bad/input", []string{"e2e.nobody/home"}}),
		egress("e2e.bad/out"))
	s.out = c.read(t, s.app.topic("out"))
	return s
}

// obey gives an id its order for all inputs from now on.
func (s *scripted) obey(id string, o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[id] = o
}

// input is one record for an id.
func (s *scripted) input(id string, number int) *kgo.Record { return s.inputOf("in", id, number) }

func (s *scripted) inputOf(topic, id string, number int) *kgo.Record {
	return &kgo.Record{Topic: s.app.topic(topic), Key: []byte(id), Value: fmt.Append(nil, number)}
}

// handler serves the scripted function.
func (s *scripted) handler() http.Handler {
	s.t.Helper()
	count := statefun.ValueSpec{Name: "count", ValueType: statefun.Int64Type}
	inputType := statefun.MakeJsonType(statefun.TypeNameFrom("e2e.bad/input"))
	builder := statefun.StatefulFunctionsBuilder()
	for _, name := range []string{"e2e.bad/fn", "e2e.away/fn"} {
		err := builder.WithSpec(statefun.StatefulFunctionSpec{
			FunctionType: statefun.TypeNameFrom(name),
			States:       []statefun.ValueSpec{count},
			Function: statefun.StatefulFunctionPointer(func(ctx statefun.Context, message statefun.Message) error {
				out := output{ID: ctx.Self().Id}
				if err := message.As(inputType, &out.Input); err != nil {
					return err
				}
				ctx.Storage().Get(count, &out.Seq)
				out.Seq++
				ctx.Storage().Set(count, out.Seq)
				return s.act(ctx, out, inputType)
			}),
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return builder.AsHandler()
}

// act writes the good record, and then whatever else the id was ordered to.
func (s *scripted) act(ctx statefun.Context, out output, jsonType statefun.SimpleType) error {
	s.mu.Lock()
	o := s.orders[out.ID]
	s.mu.Unlock()
	record := statefun.KafkaEgressBuilder{
		Target: statefun.TypeNameFrom("e2e.bad/out"), Topic: s.app.topic("out"), Key: out.ID, Value: out, ValueType: jsonType,
	}
	ctx.SendEgress(record)
	if o.Egress != "" {
		record.Target = statefun.TypeNameFrom(o.Egress)
		ctx.SendEgress(record)
	}
	if o.Topic != "" {
		record.Topic = s.app.topic(o.Topic)
		out.Pad = strings.Repeat("x", o.Size)
		record.Value = out
		ctx.SendEgress(record)
	}
	nobody := statefun.MessageBuilder{Value: int64(1), Target: statefun.Address{FunctionType: ctx.Self().FunctionType, Id: "late"}}
	for _, text := range o.Tokens {
		token, err := statefun.NewCancellationToken(text)
		if err != nil {
			return err
		}
		ctx.SendAfterWithCancellationToken(time.Hour, token, nobody)
	}
	if o.SendTo != "" {
		nobody.Target.FunctionType = statefun.TypeNameFrom(o.SendTo)
		ctx.Send(nobody)
	}
	return nil
}

// lives are the outputs of each id in their order.
func (s *scripted) lives(records []*kgo.Record) map[string][]output {
	lives := map[string][]output{}
	for _, r := range records {
		var out output
		if err := json.Unmarshal(r.Value, &out); err != nil {
			s.t.Fatalf("an output is not JSON: %v: %q", err, r.Value)
		}
		lives[out.ID] = append(lives[out.ID], out)
	}
	return lives
}

// processed is how many inputs of an id have come out.
func (s *scripted) processed(id string) int {
	records, _ := s.out.All()
	return len(s.lives(records)[id])
}

// awaitProcessed waits until n inputs of an id have come out. The limit leaves room for the pauses of a parked address.
func (s *scripted) awaitProcessed(t *testing.T, id string, n int) {
	t.Helper()
	s.out.Await(t, 75*time.Second, fmt.Sprintf("%d inputs of %s", n, id), func(records []*kgo.Record) bool {
		return len(s.lives(records)[id]) >= n
	})
}

// checkLives holds all outputs to the rule: inputs 0, 1, 2, … of each id, in order, once, counted from 1.
func (s *scripted) checkLives() {
	s.t.Helper()
	records, _ := s.out.All()
	for id, life := range s.lives(records) {
		for i, out := range life {
			if out.Seq != int64(i+1) || out.Input != i {
				s.t.Errorf("%s: output %d is input %d with count %d", id, i, out.Input, out.Seq)
			}
		}
	}
}
