package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/embedded"
)

func TestEachNameIsCountedForItself(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	app := greeter(embedded.Options{DevBroker: true, Logger: slog.New(slog.DiscardHandler)})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	brokers, err := app.Brokers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("greetings"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.AllowAutoTopicCreation(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, name := range []string{"Ada", "Grace", "Ada"} {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "names", Key: []byte(name), Value: []byte("hello")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for len(got) < 3 && ctx.Err() == nil {
		for _, r := range client.PollFetches(ctx).Records() {
			got = append(got, fmt.Sprintf("%s: %s", r.Key, r.Value))
		}
	}
	slices.Sort(got)
	if want := []string{"Ada: Hello Ada, visit number 1", "Ada: Hello Ada, visit number 2", "Grace: Hello Grace, visit number 1"}; !slices.Equal(got, want) {
		t.Errorf("greetings %q", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
