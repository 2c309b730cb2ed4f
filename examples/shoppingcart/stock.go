package main

import "github.com/statefun-kafka/statefun-kafka/statefun"

// available is how much of an item is neither in a cart nor sold.
var available = statefun.Value[int64]("available")

// stock counts what there is of an item. Its instances have the item's name.
var stock = statefun.Function{
	Type:   stockType,
	States: []statefun.State{available},
	Invoke: statefun.ByType(
		statefun.On(restockType, func(ctx *statefun.Context, r Restock) error { return change(ctx, r.Quantity) }),
		statefun.On(releaseType, func(ctx *statefun.Context, r Release) error { return change(ctx, r.Quantity) }),
		statefun.On(reserveType, reserve),
	),
}

func change(ctx *statefun.Context, by int64) error {
	n, err := available.Get(ctx)
	if err != nil {
		return err
	}
	available.Set(ctx, n+by)
	return nil
}

// reserve gives as much as there is.
func reserve(ctx *statefun.Context, r Reservation) error {
	n, err := available.Get(ctx)
	if err != nil {
		return err
	}
	r.Quantity = min(r.Quantity, n)
	available.Set(ctx, n-r.Quantity)
	ctx.Reply(reservedType.Of(r))
	return nil
}
