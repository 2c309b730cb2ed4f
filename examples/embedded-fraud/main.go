// Command embedded-fraud is a pipeline inside one program: it decides about payments, and asks the customer about those that look
// like fraud.
//
// Payments come from a Kafka topic and answers of customers from the program itself; decisions go to a Kafka topic and
// questions to a callback of the program. A customer who does not answer in time has not paid: a delayed message says so.
// Kafka is a development broker in the same process. The program plays four customers, prints what happens and ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
)

// The topics, and the egress that ends in a callback.
const (
	payments  = "payments"
	decisions = "decisions"
	questions = "bank/questions"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := run(ctx, os.Stdout, log); err != nil {
		fmt.Fprintln(os.Stderr, "embedded-fraud:", err)
		os.Exit(1)
	}
}

// run runs the bank and its customers until all of them are through.
func run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	say := &voice{out: out}
	answers := embedded.Go("bank/answers", answerType, embedded.ByKey[Answer](accountType))
	app := bank(embedded.Options{DevBroker: true, Logger: log}, answers, 2*time.Second, func(ctx context.Context, d embedded.Delivery[Question]) error {
		return ask(ctx, say, answers, d.Value)
	})
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	err := play(ctx, app, say)
	stop()
	return errors.Join(err, <-ended)
}

// bank is the application.
func bank(o embedded.Options, answers embedded.Ingress, patience time.Duration, ask func(context.Context, embedded.Delivery[Question]) error) *embedded.App {
	app := embedded.New("bank", o)
	app.Ingress(answers)
	app.Ingress(embedded.Topics("bank/payments", paymentType, func(r embedded.Record[Payment], to *embedded.Router) error {
		if r.Value.Account != r.Key || r.Value.Cents <= 0 {
			return fmt.Errorf("payment %s of %d cents from account %q has the key %q", r.Value.ID, r.Value.Cents, r.Value.Account, r.Key)
		}
		to.Send(accountType.At(r.Key), r.TypedValue())
		return nil
	}, payments).FromEarliest())
	app.Function(newAccount(patience))
	app.Function(merchant)
	app.Egress("bank/decisions")
	embedded.Sink(app, questions, questionType, ask)
	return app
}
