package embedded

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// freePort is where a development broker listens unless told otherwise.
const freePort = "127.0.0.1:0"

// startDevBroker starts a broker for the module, with its topics, so that producers find them once the address is known. The
// module that it returns is for that broker.
func (a *App) startDevBroker(ctx context.Context, m *module.Module) (*broker.Broker, *module.Module, error) {
	b, err := broker.Start(broker.Config{Addr: m.Brokers[0], AutoCreate: true, Logger: a.log})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil, fmt.Errorf("%w, with Options.Brokers", err)
	}
	if err != nil {
		return nil, nil, err
	}
	m = kafka.WithoutSecurity(m) // the broker asks for none
	m.Brokers = []string{b.Addr()}
	if err := createTopics(ctx, m); err != nil {
		b.Close()
		return nil, nil, err
	}
	return b, m, nil
}

func createTopics(ctx context.Context, m *module.Module) error {
	settings, _, err := kafka.ForModule(m, m.Brokers)
	if err != nil {
		return err
	}
	client, err := settings.Open()
	if err != nil {
		return err
	}
	defer client.Close()
	plan, err := topics.New(ctx, client, m, topics.Options{CreateIngress: true})
	if err != nil {
		return err
	}
	return plan.Create(ctx, client)
}
