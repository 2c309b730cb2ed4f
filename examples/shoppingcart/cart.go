package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// patience is how long a cart keeps its items without being touched.
const patience = 30 * time.Minute

// Contents is what a cart holds.
type Contents struct {
	User  string           `json:"user"`
	Items map[string]int64 `json:"items"`
	// Asked is the number of reservations without an answer. A cart that is checked out waits for them.
	Asked      int64 `json:"asked"`
	CheckedOut bool  `json:"checked_out"`
}

var contents = statefun.ValueOf("contents", statefun.JSON[Contents]("shop/Contents"))

// cart collects reserved items until it is checked out or abandoned. Its instances have the id user/number.
var cart = statefun.Function{
	Type:   cartType,
	States: []statefun.State{contents},
	Invoke: statefun.ByType(
		statefun.On(addType, add),
		statefun.On(reservedType, reserved),
		statefun.On(checkoutType, checkout),
		statefun.On(abandonType, abandon),
	),
}

func add(ctx *statefun.Context, a Add) error {
	c, err := contents.Get(ctx)
	if err != nil {
		return err
	}
	c.User = owner(ctx)
	c.Asked++
	contents.Set(ctx, c)
	ctx.Send(stockType.At(a.Item), reserveType.Of(Reservation(a)))
	// The cart was touched: the time that it is kept begins anew.
	ctx.Cancel("abandon")
	ctx.SendAfterWithToken(patience, ctx.Self(), abandonType.Of(struct{}{}), "abandon")
	return nil
}

// reserved takes in the answer of a stock, which may be less than what was asked for.
func reserved(ctx *statefun.Context, r Reservation) error {
	c, open, err := contents.Lookup(ctx)
	if err != nil {
		return err
	}
	if !open { // it was abandoned in the meantime
		ctx.Reply(releaseType.Of(Release{Quantity: r.Quantity}))
		return nil
	}
	c.Asked--
	if r.Quantity > 0 {
		if c.Items == nil {
			c.Items = map[string]int64{}
		}
		c.Items[r.Item] += r.Quantity
	}
	return settle(ctx, c)
}

func checkout(ctx *statefun.Context, _ struct{}) error {
	c, err := contents.Get(ctx)
	if err != nil {
		return err
	}
	c.User, c.CheckedOut = owner(ctx), true
	ctx.Cancel("abandon")
	return settle(ctx, c)
}

// settle writes the receipt of a cart that is checked out, once all stocks have answered.
func settle(ctx *statefun.Context, c Contents) error {
	if !c.CheckedOut || c.Asked > 0 {
		contents.Set(ctx, c)
		return nil
	}
	_, number, _ := strings.Cut(ctx.Self().ID, c.User+"/")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("read the number of the cart: %w", err)
	}
	contents.Remove(ctx)
	ctx.Send(userType.At(c.User), receiptType.Of(Receipt{User: c.User, Number: n, Items: c.Items}))
	return nil
}

// abandon gives everything back. Answers that are still to come are given back when they do.
func abandon(ctx *statefun.Context, _ struct{}) error {
	c, err := contents.Get(ctx)
	if err != nil {
		return err
	}
	for item, quantity := range c.Items {
		ctx.Send(stockType.At(item), releaseType.Of(Release{Quantity: quantity}))
	}
	contents.Remove(ctx)
	return nil
}

// owner is the user whose cart this is; a user's name may have slashes of its own.
func owner(ctx *statefun.Context) string {
	id := ctx.Self().ID
	return id[:strings.LastIndexByte(id, '/')]
}
