package main

import "github.com/statefun-kafka/statefun-kafka/statefun"

// The functions, and the egress of module.yaml.
const (
	userType  statefun.TypeName = "shop/user"
	cartType  statefun.TypeName = "shop/cart"
	stockType statefun.TypeName = "shop/stock"
	receipts  statefun.TypeName = "shop/receipts"
)

// A Command is a record of the topic shop-commands, under the user's name: one of its parts is there.
type Command struct {
	Add      *Add `json:"add,omitempty"`
	Checkout bool `json:"checkout,omitempty"`
}

// Add puts items into the open cart.
type Add struct {
	Item     string `json:"item"`
	Quantity int64  `json:"quantity"`
}

// A Restock is a record of the topic shop-restock, under the item's name.
type Restock struct {
	Quantity int64 `json:"quantity"`
}

// A Reservation goes from a cart to a stock, and comes back with what could be had.
type Reservation struct {
	Item     string `json:"item"`
	Quantity int64  `json:"quantity"`
}

// A Release gives back to a stock what a cart does not need.
type Release struct {
	Quantity int64 `json:"quantity"`
}

// A Receipt says what was in a cart when it was checked out; the user's number of it is 1 for the first.
type Receipt struct {
	User   string           `json:"user"`
	Number int64            `json:"number"`
	Items  map[string]int64 `json:"items"`
}

// The names by which the runtime, and functions in other languages, know these messages.
var (
	commandType  = statefun.JSON[Command]("shop/Command")
	addType      = statefun.JSON[Add]("shop/Add")
	checkoutType = statefun.JSON[struct{}]("shop/Checkout")
	restockType  = statefun.JSON[Restock]("shop/Restock")
	reserveType  = statefun.JSON[Reservation]("shop/Reserve")
	reservedType = statefun.JSON[Reservation]("shop/Reserved")
	releaseType  = statefun.JSON[Release]("shop/Release")
	abandonType  = statefun.JSON[struct{}]("shop/Abandon")
	receiptType  = statefun.JSON[Receipt]("shop/Receipt")
)
