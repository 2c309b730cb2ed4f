package embedded_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

type order struct {
	ID    string
	Items []string
}

var orderType = statefun.JSON[order]("shop/Order")

const shelfType statefun.TypeName = "shop/shelf"

// shelf tells what it was sent: who is called, by which value.
var shelf = statefun.Function{Type: shelfType, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
	value := string(m.Bytes())
	if statefun.String.Is(m) {
		value, _ = statefun.String.From(m)
	}
	if origin := m.Origin(); origin.Topic != "" {
		trace, _ := m.Header("trace")
		value = fmt.Sprintf("%s %s %d@%d %s", value, origin.Topic, origin.Partition, origin.Offset, trace)
	}
	ctx.Egress("shop/out", statefun.KafkaRecord{Topic: "out", Key: ctx.Self().ID, Value: []byte(value)})
	return nil
}}

// shop routes each order to the shelves of its items, in Go.
func shop(o embedded.Options, in ...embedded.Ingress) *embedded.App {
	app := embedded.New("shop", o)
	for _, i := range in {
		app.Ingress(i)
	}
	app.Function(shelf)
	app.Egress("shop/out")
	return app
}

func routeOrder(r embedded.Record[order], to *embedded.Router) error {
	if r.Value.ID == "" {
		return errors.New("an order needs an id")
	}
	for _, item := range r.Value.Items {
		to.Send(shelfType.At(item), statefun.String.Of(r.Value.ID))
	}
	return nil
}

func TestARouteInGoSendsToAnyNumberOfTargets(t *testing.T) {
	app := shop(quiet(t), embedded.Topics("shop/orders", orderType, routeOrder, "orders", "orders-eu").FromEarliest())
	start(t, app)
	brokers := brokersOf(t, app)
	produce(t, brokers, "orders", `a={"ID":"o1","Items":["tea","milk"]}`, `a={"ID":"o2"}`)
	produce(t, brokers, "orders-eu", `b={"ID":"o3","Items":["tea"]}`)
	got := texts(readerOf(t, brokers, "out").next(3))
	slices.Sort(got)
	if want := []string{"milk=o1", "tea=o1", "tea=o3"}; !slices.Equal(got, want) {
		t.Errorf("sent %v", got)
	}
}

func TestARecordThatCannotBeDecodedOrRoutedIsADeadLetter(t *testing.T) {
	app := shop(quiet(t), embedded.Topics("shop/orders", orderType, func(r embedded.Record[order], to *embedded.Router) error {
		if r.Value.ID == "panic" {
			panic("at the disco")
		}
		if r.Value.ID == "far" {
			to.Send(shelfType.At("tea"), statefun.String.Of("sent before the fault"))
			to.Send(statefun.TypeName("shelf").At("1"), statefun.String.Of("x"))
		}
		return routeOrder(r, to)
	}, "orders").FromEarliest())
	start(t, app)
	brokers := brokersOf(t, app)
	produce(t, brokers, "orders", "k=no json", "k={}", `k={"ID":"panic"}`, `k={"ID":"far"}`, `k={"ID":"good","Items":["tea"]}`)
	reasons := map[string]string{"no json": "decode shop/Order", "{}": "an order needs an id", `{"ID":"panic"}`: "at the disco",
		`{"ID":"far"}`: `send to "shelf/1"`}
	for _, r := range readerOf(t, brokers, "shop-dead-letter").next(len(reasons)) {
		detail := header(r, "statefun.dead-letter/detail")
		if want := reasons[string(r.Value)]; want == "" || !strings.Contains(detail, want) {
			t.Errorf("the dead letter %s has the detail %q, headers %v", r.Value, detail, r.Headers)
		}
	}
	if got := texts(readerOf(t, brokers, "out").next(1)); !slices.Equal(got, []string{"tea=good"}) {
		t.Errorf("sent %v", got)
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestForwardedHeadersTellWhereAMessageCameFrom(t *testing.T) {
	in := embedded.Topics("shop/text", text, embedded.ByKey[[]byte](shelfType), "text").FromEarliest().ForwardHeaders()
	own := embedded.Go("shop/own", text, func(r embedded.Record[[]byte], to *embedded.Router) error {
		trace, _ := r.Header("trace")
		to.Send(shelfType.At("own"), statefun.String.Of(r.Key+" "+string(trace)))
		return nil
	})
	app := shop(quiet(t), in, own)
	start(t, app)
	brokers := brokersOf(t, app)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: "text", Key: []byte("tea"), Value: []byte("hot"), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("t-1")}}}
	if err := client.ProduceSync(within(t), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := own.Append(within(t), "k", []byte("v"), statefun.Header{Key: "trace", Value: []byte("t-2")}); err != nil {
		t.Fatal(err)
	}
	got := texts(readerOf(t, brokers, "out").next(2))
	slices.Sort(got)
	if want := []string{"own=k t-2", fmt.Sprintf("tea=hot text %d@0 t-1", r.Partition)}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestARecordWithoutAKeyIsRoutedInGoAndRefusedByKey(t *testing.T) {
	app := shop(quiet(t),
		embedded.Topics("shop/text", text, embedded.ByKey[[]byte](shelfType), "text").FromEarliest(),
		embedded.Topics("shop/orders", orderType, routeOrder, "orders").FromEarliest())
	start(t, app)
	brokers := brokersOf(t, app)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for topic, value := range map[string]string{"text": "lost", "orders": `{"ID":"o1","Items":["tea"]}`} {
		if err := client.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if got := texts(readerOf(t, brokers, "out").next(1)); !slices.Equal(got, []string{"tea=o1"}) {
		t.Errorf("sent %v", got)
	}
	if got := texts(readerOf(t, brokers, "shop-dead-letter").next(1)); !slices.Equal(got, []string{"=lost"}) {
		t.Errorf("dead letters %v", got)
	}
}
