package main

import (
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// carts is how many carts a user has begun; the last of them is open.
var carts = statefun.Value[int64]("carts")

// user gives each user one open cart after the other. Its instances have the user's name.
var user = statefun.Function{
	Type:   userType,
	States: []statefun.State{carts},
	Invoke: statefun.ByType(
		statefun.On(commandType, obey),
		statefun.On(receiptType, hand),
	),
}

var errCommand = errors.New("the command is neither add, with an item and a quantity above zero, nor checkout")

func obey(ctx *statefun.Context, c Command) error {
	begun, err := carts.Get(ctx)
	if err != nil {
		return err
	}
	if begun == 0 {
		begun = 1
		carts.Set(ctx, begun)
	}
	open := cartType.At(fmt.Sprintf("%s/%d", ctx.Self().ID, begun))
	switch {
	case c.Add != nil && c.Add.Item != "" && c.Add.Quantity > 0:
		ctx.Send(open, addType.Of(*c.Add))
	case c.Checkout:
		ctx.Send(open, checkoutType.Of(struct{}{}))
		carts.Set(ctx, begun+1) // what comes from now on goes into the next one
	default:
		return errCommand
	}
	return nil
}

// hand gives the user the receipt of a cart.
func hand(ctx *statefun.Context, r Receipt) error {
	value, err := receiptType.Encode(r)
	if err != nil {
		return err
	}
	ctx.Egress(receipts, statefun.KafkaRecord{Topic: "shop-receipts", Key: ctx.Self().ID, Value: value})
	return nil
}
