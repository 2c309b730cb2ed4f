// Package statefun is a Go SDK for stateful functions: small functions, each instance of which has its own durable
// state, gets one message at a time, and sends messages to others, to itself later, and to Kafka topics.
//
// A function is Go code behind HTTP. A runtime (statefun-kafka, or any other that speaks the StateFun request-reply
// protocol, version 3) calls it with the messages and the state of one instance, and makes what it answers durable
// in one step: new state, messages, delayed messages and egress records, each exactly once. This is a whole program:
//
//	var visits = statefun.Value[int64]("visits")
//
//	func greet(ctx *statefun.Context, m statefun.Message) error {
//		n, err := visits.Get(ctx)
//		if err != nil {
//			return err
//		}
//		visits.Set(ctx, n+1)
//		ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID,
//			Value: fmt.Appendf(nil, "Hello %s, visit number %d", ctx.Self().ID, n+1)})
//		return nil
//	}
//
//	func main() {
//		log.Fatal(statefun.Serve(context.Background(), "127.0.0.1:8000", statefun.Function{
//			Type: "example/greeter", States: []statefun.State{visits}, Invoke: greet}))
//	}
//
// # Functions and addresses
//
// An [Address] names an instance: the function's [TypeName] and an id, such as example/greeter and "Ada". An instance
// needs no creation; it is there when it is sent a message. Its messages are handled one after another, while
// other instances run beside it. A [Function] with the type "example/*" serves every type of that namespace.
//
// # Messages and types
//
// What is sent has a [Type]: a name, by which functions in all languages know it, and an encoding. [Bool], [Int32],
// [Int64], [Float32], [Float64] and [String] are those that every StateFun SDK has, byte for byte. [JSON], [Protobuf]
// and [Bytes] make others, and [NewType] takes a [Codec] of your own. [Type.Of] makes a [TypedValue], which can be sent;
// [Type.From] reads a [Message], which has come. [ByType] picks a function by the type of the message.
//
// # State
//
// A [ValueSpec] names a value that each instance has for itself; it is a package variable that [ValueSpec.Get] and
// [ValueSpec.Set] use with the [Context]. Declare it in [Function.States]. A state that is not declared may be used too,
// for instance when its name is known at run time only: then Get returns [ErrStateNotSent], the runtime is
// asked for it, and the call is repeated.
//
// # Errors
//
// A function that returns an error, or panics, has had no effect at all; the runtime calls it again, by the policy of
// its endpoint. Set, Remove, Send, SendAfter, Cancel, Reply and Egress return no error, because there is nothing
// better to do with one than to give up: the first that fails makes the call fail, whatever the function
// returns, and [Context.Failure] tells. Effects outside of the runtime, such as a call to another
// service, may happen again: a function may be called more than once for one message.
//
// # Headers
//
// An ingress with forwardHeaders gives a message the headers of its record, and tells where the record lies:
// [Message.Header] and [Message.Origin]. [TypedValue.WithHeaders] and [KafkaRecord.Headers] send headers on.
//
// # Serving
//
// [Serve] is an HTTP server for functions; a [Handler] is the part of it that goes into a server of your own.
//
// # Tests
//
// Package statefuntest runs functions in memory, with a clock that a test turns.
package statefun
