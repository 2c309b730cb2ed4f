// Package statefuntest runs stateful functions in memory, so that a test needs no runtime, no broker and no network.
//
// A [Harness] does what a runtime does: it keeps the state of all instances, delivers what functions send, holds
// delayed messages until its clock is turned, and collects what goes to an egress:
//
//	func TestGreeterCounts(t *testing.T) {
//		h := statefuntest.New(t, greeter)
//		h.Send(greeterType.At("Ada"), statefun.String.Of("hello"))
//		h.Send(greeterType.At("Ada"), statefun.String.Of("hello"))
//		if n, _ := statefuntest.State(h, greeterType.At("Ada"), visits); n != 2 {
//			t.Errorf("Ada has %d visits, not 2", n)
//		}
//	}
//
// Functions are called by the same code that serves HTTP, with requests encoded as a runtime encodes them.
//
// What is sent to a function that the harness has not been given is not delivered. It can be seen in
// [Harness.Messages], as all that functions sent; so one function alone can be tested too.
//
// # Headers
//
// [statefun.TypedValue.WithHeaders] gives a message headers, and [Forwarded] the place of a Kafka record, as an ingress with
// forwardHeaders does.
//
// # Time
//
// The clock stands still until [Harness.Advance] turns it. On the way, delayed messages are delivered, each at its time,
// and state expires. [statefun.Context.Now] reads this clock.
//
// # Order
//
// Messages are delivered one a call, first come first served. A runtime promises less: it keeps the order from one
// sender to one target, and puts several waiting messages of an instance into one call. With [Seed] the harness does
// that too, by chance, and the same seed gives the same run again. A test that runs with a hundred seeds finds
// most of what depends on the order by mistake.
//
// # Failures
//
// When a function fails the test fails, unless the message was sent with [Harness.Try], which returns the error. The messages
// of the failed call are gone, and so are its effects.
package statefuntest
