// Package embedded runs a whole statefun-kafka worker inside a Go program: functions are called in the process, records
// come from Kafka topics and from the program itself, and what functions send out goes to Kafka topics and to callbacks.
//
// It is the same worker with the same guarantees as the command statefun-kafka: state, messages, delayed messages, egress
// records and positions commit together in Kafka transactions. Several processes that run the same application share its
// work. This is a whole program, with a development broker in its process:
//
//	var (
//		text   = statefun.Bytes("example/text")
//		visits = statefun.Value[int64]("visits")
//	)
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
//		app := embedded.New("greeter", embedded.Options{DevBroker: true})
//		app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte]("example/greeter"), "names"))
//		app.Function(statefun.Function{Type: "example/greeter", States: []statefun.State{visits}, Invoke: greet})
//		app.Egress("example/greets")
//
//		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
//		defer cancel()
//		if err := app.Run(ctx); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// # The builder
//
// [New] names an application; its methods say what it consists of, and [App.Run] runs it. The builder returns no errors:
// Run tells all that is wrong with it together, each problem with the file and line of the call at fault. A module.yaml
// ([Options].Modules) can be loaded beside what the program declares itself. Nothing is global, so a program may run several
// applications.
//
// # Ingresses
//
// [Topics] reads Kafka topics. [Go] is an ingress that the program fills itself: [GoIngress.Append] returns when the record is
// durable, and whatever happens to the process then, the record will be processed, its effects exactly once. Both
// have a [statefun.Type] that decodes records and a [Route] that says which functions get what; [ByKey] is the usual one.
//
// # Functions
//
// [App.Function] takes a function of the Go SDK and calls it in the process, without a network, as the worker calls a remote
// one: the same batches, order, attempts and policies. [App.Remote] is a function behind HTTP in any language. Both send to
// each other. [CallOption] values say how they are called.
//
// # Output
//
// [App.Egress] is an egress to Kafka topics, exactly once. [Sink] ends in a callback of the program: after the
// commit, at least once, with the id by which it can be made once.
//
// # Reading state
//
// [App.View] gives the committed state of an instance whose partition this process owns, and [Read] a value of it.
package embedded
