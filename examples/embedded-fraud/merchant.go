package main

import "github.com/statefun-kafka/statefun-kafka/statefun"

// merchantType is the function of a merchant: it knows how often payments to it were frauds.
const merchantType statefun.TypeName = "bank/merchant"

var (
	paid   = statefun.Value[int64]("paid")
	frauds = statefun.Value[int64]("frauds")
)

var merchant = statefun.Function{Type: merchantType, States: []statefun.State{paid, frauds}, Invoke: statefun.ByType(
	statefun.On(inquiryType, func(ctx *statefun.Context, i Inquiry) error {
		n, err := paid.Get(ctx)
		if err != nil {
			return err
		}
		bad, err := frauds.Get(ctx)
		if err != nil {
			return err
		}
		paid.Set(ctx, n+1)
		ctx.Reply(riskType.Of(Risk{i.Payment, 100 * bad / (n + 1)}))
		return nil
	}),
	statefun.On(fraudType, func(ctx *statefun.Context, _ Fraud) error {
		bad, err := frauds.Get(ctx)
		frauds.Set(ctx, bad+1)
		return err
	}),
)}
