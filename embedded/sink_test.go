package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

type alarm struct{ Card, Why string }

var alarmType = statefun.JSON[alarm]("bank/Alarm")

// alarms sends an alarm for each record, and counts.
func alarms(o embedded.Options, cards *embedded.GoIngress[string], deliver func(ctx context.Context, d embedded.Delivery[alarm]) error) *embedded.App {
	app := embedded.New("bank", o)
	app.Ingress(cards)
	app.Function(statefun.Function{Type: "bank/card", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		why, err := statefun.String.From(m)
		if why == "other type" {
			ctx.Egress("bank/alarm", statefun.String.Of(why))
			return err
		}
		ctx.Egress("bank/alarm", alarmType.Of(alarm{ctx.Self().ID, why}).WithHeaders(statefun.Header{Key: "severity", Value: []byte("high")}))
		return err
	}})
	embedded.Sink(app, "bank/alarm", alarmType, deliver)
	return app
}

func cardIngress() *embedded.GoIngress[string] {
	return embedded.Go("bank/cards", statefun.String, embedded.ByKey[string]("bank/card"))
}

// told collects deliveries.
type told struct {
	mu   sync.Mutex
	list []embedded.Delivery[alarm]
}

func (c *told) add(d embedded.Delivery[alarm]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, d)
	return len(c.list)
}

func (c *told) all() []embedded.Delivery[alarm] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

func TestASinkGetsEachValueInTheOrderOfItsSender(t *testing.T) {
	var got told
	cards := cardIngress()
	start(t, alarms(quiet(t), cards, func(_ context.Context, d embedded.Delivery[alarm]) error {
		got.add(d)
		return nil
	}))
	began := time.Now().Add(-time.Second)
	for i := range 20 {
		if err := cards.Append(within(t), "card-1", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "20 alarms", func() bool { return len(got.all()) >= 20 })
	ids := map[string]bool{}
	for i, d := range got.all() {
		if d.Value != (alarm{"card-1", fmt.Sprint(i)}) || d.Sender != "card-1" || d.Since.Before(began) || ids[d.ID] ||
			len(d.Headers) != 1 || d.Headers[0].Key != "severity" {
			t.Errorf("delivery %d is %+v", i, d)
		}
		ids[d.ID] = true
	}
}

// TestADeliveryThatFailedComesAgainUnderItsID fails by an error, then by a panic; what is behind waits.
func TestADeliveryThatFailedComesAgainUnderItsID(t *testing.T) {
	var got told
	cards := cardIngress()
	start(t, alarms(quiet(t), cards, func(_ context.Context, d embedded.Delivery[alarm]) error {
		switch got.add(d) {
		case 1:
			return errors.New("the pager is busy")
		case 2:
			panic("the pager is broken")
		}
		return nil
	}))
	for _, why := range []string{"first", "second"} {
		if err := cards.Append(within(t), "card-1", why); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "4 deliveries", func() bool { return len(got.all()) >= 4 })
	var order []string
	for _, d := range got.all() {
		order = append(order, d.Value.Why)
	}
	if want := []string{"first", "first", "first", "second"}; !slices.Equal(order, want) {
		t.Errorf("delivered %v", order)
	}
	if all := got.all(); all[0].ID != all[2].ID || all[2].ID == all[3].ID {
		t.Errorf("the ids are %q, %q, %q, %q", all[0].ID, all[1].ID, all[2].ID, all[3].ID)
	}
}

// TestAValueThatWasDeliveredAndNotNotedComesAgainAfterARestart is at least once: the first run ends inside the callback.
func TestAValueThatWasDeliveredAndNotNotedComesAgainAfterARestart(t *testing.T) {
	o := quiet(t, startBroker(t))
	var first told
	arrived := make(chan struct{})
	cards := cardIngress()
	stop := start(t, alarms(o, cards, func(ctx context.Context, d embedded.Delivery[alarm]) error {
		if first.add(d) == 1 {
			close(arrived)
		}
		<-ctx.Done()
		return nil // too late for anybody to note it
	}))
	if err := cards.Append(within(t), "card-1", "once"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	stop()

	var second told
	start(t, alarms(o, cardIngress(), func(_ context.Context, d embedded.Delivery[alarm]) error {
		second.add(d)
		return nil
	}))
	await(t, "the alarm comes again", func() bool { return len(second.all()) == 1 })
	if a, b := first.all()[0], second.all()[0]; a.ID != b.ID || a.Value != b.Value || !a.Since.Equal(b.Since) {
		t.Errorf("first %+v, then %+v", a, b)
	}
}

func TestRunReturnsAfterTheCallbacks(t *testing.T) {
	arrived, returned := make(chan struct{}), false
	cards := cardIngress()
	stop := start(t, alarms(quiet(t), cards, func(ctx context.Context, _ embedded.Delivery[alarm]) error {
		close(arrived)
		<-ctx.Done()
		time.Sleep(200 * time.Millisecond) // of its own work, after which it returns
		returned = true
		return ctx.Err()
	}))
	if err := cards.Append(within(t), "card-1", "why"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if stop(); !returned {
		t.Error("Run has returned before the callback")
	}
}

func TestAValueThatASinkRefusesIsADeadLetter(t *testing.T) {
	var got told
	o := quiet(t)
	cards := cardIngress()
	app := alarms(o, cards, func(_ context.Context, d embedded.Delivery[alarm]) error {
		if d.Value.Why == "bad" {
			return fmt.Errorf("page: %w", embedded.Refuse(errors.New("no such card")))
		}
		got.add(d)
		return nil
	})
	start(t, app)
	for _, why := range []string{"bad", "other type", "good"} {
		if err := cards.Append(within(t), "card-1", why); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the good one is delivered", func() bool { return len(got.all()) == 1 })
	letters := readerOf(t, brokersOf(t, app), "bank-dead-letter").next(2)
	if detail := header(letters[0], "statefun.dead-letter/detail"); !strings.Contains(detail, "no such card") {
		t.Errorf("the first has the detail %q", detail)
	}
	if detail := header(letters[1], "statefun.dead-letter/detail"); !strings.Contains(detail, "io.statefun.types/string") {
		t.Errorf("the second has the detail %q", detail)
	}
}
