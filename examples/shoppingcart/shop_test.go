package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

func newShop(t *testing.T, options ...statefuntest.Option) *statefuntest.Harness {
	return statefuntest.NewWith(t, functions, options...)
}

func addition(item string, quantity int64) statefun.TypedValue {
	return commandType.Of(Command{Add: &Add{Item: item, Quantity: quantity}})
}

// receiptsOf reads what was sent to Kafka since the last look.
func receiptsOf(t *testing.T, h *statefuntest.Harness) []Receipt {
	t.Helper()
	var all []Receipt
	for _, r := range h.Kafka(receipts) {
		var receipt Receipt
		if err := json.Unmarshal(r.Value, &receipt); err != nil {
			t.Fatal(err)
		}
		if r.Topic != "shop-receipts" || r.Key != receipt.User {
			t.Errorf("the receipt %+v went to topic %s under the key %s", receipt, r.Topic, r.Key)
		}
		all = append(all, receipt)
	}
	return all
}

func TestAUserGetsAReceiptForWhatThereWas(t *testing.T) {
	h := newShop(t)
	h.Send(stockType.At("tea"), restockType.Of(Restock{Quantity: 3}))
	ada := userType.At("ada")
	h.Send(ada, addition("tea", 2))
	h.Send(ada, addition("milk", 1))
	h.Send(ada, addition("tea", 2))
	h.Send(ada, commandType.Of(Command{Checkout: true}))
	got := receiptsOf(t, h)
	if len(got) != 1 || got[0].Number != 1 || !maps.Equal(got[0].Items, map[string]int64{"tea": 3}) {
		t.Errorf("receipts: %+v", got)
	}
	if n, _ := statefuntest.State(h, stockType.At("tea"), available); n != 0 {
		t.Errorf("%d tea is left", n)
	}
	if len(h.Delayed()) != 0 {
		t.Error("a cart that was checked out can still be abandoned")
	}
	h.Send(ada, commandType.Of(Command{Checkout: true}))
	if got = receiptsOf(t, h); len(got) != 1 || got[0].Number != 2 || len(got[0].Items) != 0 {
		t.Errorf("the receipt of the next, empty cart: %+v", got)
	}
}

func TestAnAbandonedCartGivesItsItemsBack(t *testing.T) {
	h := newShop(t)
	tea, ada := stockType.At("tea"), userType.At("ada")
	h.Send(tea, restockType.Of(Restock{Quantity: 3}))
	h.Send(ada, addition("tea", 2))
	h.Advance(patience - 1)
	h.Send(ada, addition("tea", 1)) // touches it
	h.Advance(patience - 1)
	if n, _ := statefuntest.State(h, tea, available); n != 0 {
		t.Errorf("%d tea is there too early", n)
	}
	h.Advance(1)
	if n, _ := statefuntest.State(h, tea, available); n != 3 {
		t.Errorf("%d tea is back", n)
	}
	if _, open := statefuntest.State(h, cartType.At("ada/1"), contents); open {
		t.Error("the cart still holds something")
	}
}

func TestABadCommandIsRefused(t *testing.T) {
	h := newShop(t)
	for _, c := range []Command{{}, {Add: &Add{Item: "tea"}}, {Add: &Add{Quantity: 1}}} {
		if err := h.Try(userType.At("ada"), commandType.Of(c)); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// A cart alone: what it sends to others is only looked at.
func TestAnAnswerThatComesAfterTheEndGoesBack(t *testing.T) {
	h := statefuntest.New(t, cart)
	tea := stockType.At("tea")
	h.SendFrom(tea, cartType.At("ada/1"), reservedType.Of(Reservation{Item: "tea", Quantity: 2}))
	sent := h.MessagesTo(tea)
	if len(sent) != 1 {
		t.Fatalf("%d messages to the stock", len(sent))
	}
	if r, err := releaseType.From(sent[0]); err != nil || r.Quantity != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNothingIsLostInAnyOrder checks the books for many orders of the same messages: what came into the shop is in the
// stock, or on a receipt.
func TestNothingIsLostInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := newShop(t, statefuntest.Seed(seed))
			tea := stockType.At("tea")
			h.Send(tea, restockType.Of(Restock{Quantity: 10}))
			for _, name := range []string{"ada", "grace", "tony"} {
				h.SendAll(userType.At(name), addition("tea", 3), addition("tea", 2), commandType.Of(Command{Checkout: true}), addition("tea", 1))
			}
			books := int64(0)
			got := receiptsOf(t, h)
			for _, r := range got {
				books += r.Items["tea"]
			}
			h.Advance(2 * patience)
			left, _ := statefuntest.State(h, tea, available)
			if books+left != 10 || len(got) != 3 {
				t.Errorf("%d sold and %d left of 10, %d receipts", books, left, len(got))
			}
		})
	}
}

// TestAReceiptWaitsForAllStocks has enough of everything, so each receipt must have all that was asked for.
func TestAReceiptWaitsForAllStocks(t *testing.T) {
	for seed := range uint64(50) {
		h := newShop(t, statefuntest.Seed(seed))
		for _, item := range []string{"tea", "milk"} {
			h.Send(stockType.At(item), restockType.Of(Restock{Quantity: 100}))
		}
		h.SendAll(userType.At("ada"), addition("tea", 3), addition("milk", 1), addition("tea", 2), commandType.Of(Command{Checkout: true}))
		got := receiptsOf(t, h)
		if len(got) != 1 || !maps.Equal(got[0].Items, map[string]int64{"tea": 5, "milk": 1}) {
			t.Fatalf("seed %d: receipts %+v", seed, got)
		}
	}
}
