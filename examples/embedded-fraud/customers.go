package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/embedded"
)

// script is what the customers pay, in rounds. A customer pays again when the payment before is decided; a round begins
// when the one before has ended.
var script = [][][]Payment{
	{
		{{"a1", "ada", "café", "DE", 350}, {"a2", "ada", "books", "DE", 1890}, {"a3", "ada", "gems", "NZ", 95_000}, {"a4", "ada", "café", "DE", 350}},
		{{"b1", "bob", "café", "FR", 420}, {"b2", "bob", "hotel", "ES", 41_000}, {"b3", "bob", "books", "FR", 1500}},
		{{"c1", "carl", "books", "DE", 2200}, {"c2", "carl", "phones", "US", 89_900}},
		{{"d1", "dora", "café", "DE", 390}},
	},
	{
		{{"d2", "dora", "gems", "NZ", 1500}}, // where Ada's card was used
	},
}

// replies are what customers say when they are asked. Carl does not look at his phone.
var replies = map[string]string{"a3": "no", "b2": "yes", "d2": "yes"}

// voice prints whole lines, whoever speaks.
type voice struct {
	mu  sync.Mutex
	out io.Writer
}

func (v *voice) say(who, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.out, "%-9s %s\n", who, fmt.Sprintf(format, args...))
}

// ask is the callback: it asks a customer. It may be called again for a question that was asked; the account passes
// over an answer that it has already.
func ask(ctx context.Context, say *voice, answers *embedded.GoIngress[Answer], q Question) error {
	say.say("to "+q.Payment.Account, "did you pay %s? (%s)", q.Payment, q.Why)
	reply, known := replies[q.Payment.ID]
	if !known {
		return nil
	}
	say.say(q.Payment.Account, "%s", reply)
	return answers.Append(ctx, q.Payment.Account, Answer{q.Payment.ID, reply == "yes"})
}

// play sends the payments of the script and prints the decisions.
func play(ctx context.Context, app *embedded.App, say *voice) error {
	brokers, err := app.Brokers(ctx)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(decisions), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(0))
	if err != nil {
		return fmt.Errorf("open a client: %w", err)
	}
	defer client.Close()
	for _, round := range script {
		if err := playRound(ctx, client, say, round); err != nil {
			return err
		}
	}
	return report(ctx, app, say)
}

// playRound lets all customers of a round pay, each one payment after the other.
func playRound(ctx context.Context, client *kgo.Client, say *voice, round [][]Payment) error {
	next := map[string][]Payment{}
	for _, list := range round {
		next[list[0].Account] = list
	}
	for account := range next {
		if err := send(ctx, client, next[account][0]); err != nil {
			return err
		}
	}
	for len(next) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read decisions: %w", err)
		}
		for _, r := range fetches.Records() {
			var d Decision
			if err := json.Unmarshal(r.Value, &d); err != nil {
				return fmt.Errorf("read a decision: %w", err)
			}
			say.say("decision", "%s pays %s: %s, %s", d.Payment.Account, d.Payment, map[bool]string{true: "approved", false: "DECLINED"}[d.Approved], d.Why)
			account := d.Payment.Account
			if next[account] = next[account][1:]; len(next[account]) == 0 {
				delete(next, account)
			} else if err := send(ctx, client, next[account][0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// send produces a payment, as another system would.
func send(ctx context.Context, client *kgo.Client, p Payment) error {
	value, err := paymentType.Encode(p)
	if err != nil {
		return err
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: payments, Key: []byte(p.Account), Value: value}).FirstErr(); err != nil {
		return fmt.Errorf("send payment %s: %w", p.ID, err)
	}
	return nil
}

// report reads the state of a merchant's function.
func report(ctx context.Context, app *embedded.App, say *voice) error {
	view, err := app.View(ctx, merchantType.At("gems"))
	if err != nil {
		return err
	}
	n, _, err := embedded.Read(view, paid)
	if err != nil {
		return err
	}
	bad, _, err := embedded.Read(view, frauds)
	if err != nil {
		return err
	}
	say.say("merchant", "gems: %d payments, %d of them fraud", n, bad)
	return nil
}
