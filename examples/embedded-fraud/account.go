package main

import (
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// accountType is the function of an account: it decides about the payments from it.
const accountType statefun.TypeName = "bank/account"

// A Profile is what is usual for an account.
type Profile struct {
	Home            string // country of its first payment
	Payments, Cents int64  // that were approved
	Blocked         bool
}

// strange says what about a payment is unusual.
func (p Profile) strange(of Payment, percent int64) (why []string) {
	if p.Home != "" && of.Country != p.Home {
		why = append(why, "abroad")
	}
	if p.Payments > 0 && of.Cents > 5*p.Cents/p.Payments {
		why = append(why, "far more than usual")
	}
	if percent >= 25 {
		why = append(why, "a merchant with a record")
	}
	return why
}

var (
	profile = statefun.ValueOf("profile", statefun.JSON[Profile]("bank/Profile"))
	// open are the payments that are not decided yet.
	open = statefun.ValueOf("open", statefun.JSON[map[string]Payment]("bank/OpenPayments"))
)

// newAccount makes the function. A customer has so much time to answer.
func newAccount(patience time.Duration) statefun.Function {
	return statefun.Function{Type: accountType, States: []statefun.State{profile, open}, Invoke: statefun.ByType(
		statefun.On(paymentType, pay),
		statefun.On(riskType, func(ctx *statefun.Context, r Risk) error { return weigh(ctx, r, patience) }),
		statefun.On(answerType, answered),
		statefun.On(silenceType, func(ctx *statefun.Context, s Silence) error {
			return decide(ctx, s.Payment, false, "no answer from the customer")
		}),
	)}
}

// pay takes a payment in and asks its merchant's function for the risk.
func pay(ctx *statefun.Context, p Payment) error {
	known, err := profile.Get(ctx)
	if err != nil {
		return err
	}
	waiting, err := open.Get(ctx)
	if err != nil {
		return err
	}
	if waiting == nil {
		waiting = map[string]Payment{}
	}
	waiting[p.ID] = p
	open.Set(ctx, waiting)
	if known.Blocked {
		return decide(ctx, p.ID, false, "the account is blocked")
	}
	ctx.Send(merchantType.At(p.Merchant), inquiryType.Of(Inquiry{p.ID}))
	return nil
}

// weigh approves a payment, or holds it and asks the customer when two things about it are unusual.
func weigh(ctx *statefun.Context, r Risk, patience time.Duration) error {
	known, err := profile.Get(ctx)
	if err != nil {
		return err
	}
	waiting, err := open.Get(ctx)
	if err != nil {
		return err
	}
	p := waiting[r.Payment]
	why := known.strange(p, r.Percent)
	if len(why) < 2 {
		return decide(ctx, p.ID, true, "nothing unusual")
	}
	ctx.Egress(questions, questionType.Of(Question{p, strings.Join(why, ", ")}))
	ctx.SendAfterWithToken(patience, ctx.Self(), silenceType.Of(Silence{p.ID}), p.ID)
	return nil
}

// answered ends the wait for an answer.
func answered(ctx *statefun.Context, a Answer) error {
	waiting, err := open.Get(ctx)
	if err != nil {
		return err
	}
	p, is := waiting[a.Payment]
	if !is {
		return nil // it is decided: a question may come twice, and an answer too late
	}
	ctx.Cancel(p.ID)
	if a.Mine {
		return decide(ctx, p.ID, true, "the customer knows it")
	}
	known, err := profile.Get(ctx)
	if err != nil {
		return err
	}
	known.Blocked = true
	profile.Set(ctx, known)
	ctx.Send(merchantType.At(p.Merchant), fraudType.Of(Fraud{}))
	return decide(ctx, p.ID, false, "the customer does not know it, the account is blocked")
}

// decide ends a payment: the decision goes to Kafka, in the same transaction as the new state.
func decide(ctx *statefun.Context, payment string, approved bool, why string) error {
	waiting, err := open.Get(ctx)
	if err != nil {
		return err
	}
	known, err := profile.Get(ctx)
	if err != nil {
		return err
	}
	p := waiting[payment]
	delete(waiting, payment)
	open.Set(ctx, waiting)
	if approved {
		known.Payments, known.Cents = known.Payments+1, known.Cents+p.Cents
		if known.Home == "" {
			known.Home = p.Country
		}
		profile.Set(ctx, known)
	}
	value, err := decisionType.Encode(Decision{p, approved, why})
	ctx.Egress("bank/decisions", statefun.KafkaRecord{Topic: decisions, Key: p.Account, Value: value})
	return err
}
