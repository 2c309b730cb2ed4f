package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

func TestEachNameIsCountedForItself(t *testing.T) {
	h := statefuntest.New(t, greeter)
	text := statefun.Bytes("example/text")
	for _, name := range []string{"Ada", "Grace", "Ada"} {
		h.Send(greeter.Type.At(name), text.Of([]byte("hello")))
	}
	var got []string
	for _, r := range h.Kafka("example/greets") {
		got = append(got, fmt.Sprintf("%s %s: %s", r.Topic, r.Key, r.Value))
	}
	want := []string{
		"greetings Ada: Hello Ada, visit number 1",
		"greetings Grace: Hello Grace, visit number 1",
		"greetings Ada: Hello Ada, visit number 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("greetings %q", got)
	}
}
