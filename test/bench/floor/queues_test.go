package main

import (
	"fmt"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func address(id string) protocol.Address { return protocol.Address{ID: id} }

func taken(q *queues) (*instance, string) {
	in, batch := q.take(nil)
	return in, fmt.Sprintf("%s%s", in.address.ID, batch)
}

func TestAddressesAreServedInTheOrderTheyBecameReady(t *testing.T) {
	q := newQueues(100, 2)
	for _, add := range []string{"a1", "b1", "a2", "a3"} {
		q.add(address(add[:1]), []byte(add), fromTopic)
	}
	a, got := taken(q)
	if want := "a[a1 a2]"; got != want {
		t.Fatalf("first call %s, want %s", got, want)
	}
	q.add(address("a"), []byte("a4"), fromTopic)
	b, got := taken(q)
	if want := "b[b1]"; got != want {
		t.Fatalf("second call %s, want %s: a call for a is in flight", got, want)
	}
	q.done(b)
	q.done(a)
	if _, got := taken(q); got != "a[a3 a4]" {
		t.Fatalf("third call %s, want the rest of a in order", got)
	}
}

func TestReadAheadHoldsTheTopicButNotMessages(t *testing.T) {
	q := newQueues(1, 1)
	q.add(address("a"), []byte("1"), fromTopic)
	q.add(address("b"), []byte("m"), fromFunction)
	added := make(chan bool)
	go func() { added <- q.add(address("c"), []byte("2"), fromTopic) }()
	select {
	case <-added:
		t.Fatal("the second record did not wait")
	default:
	}
	taken(q)
	if !<-added {
		t.Fatal("not added")
	}
	go func() { added <- q.add(address("d"), []byte("3"), fromTopic) }()
	q.close()
	if <-added {
		t.Fatal("added after close")
	}
	if in, _ := q.take(nil); in != nil {
		t.Fatal("taken after close")
	}
}
