package statefun_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

func TestAnEffectThatCannotBeFailsTheCall(t *testing.T) {
	self := statefun.TypeName("example/f").At("x")
	text := statefun.String.Of("text")
	unencodable := statefun.JSON[float64]("test/number")
	number := statefun.ValueOf("number", unencodable)
	other := statefun.Value[int64]("number")
	badName := statefun.Value[int64]("a-b")
	for name, c := range map[string]struct {
		effect func(ctx *statefun.Context)
		reason string
	}{
		"a target without a namespace": {func(ctx *statefun.Context) { ctx.Send(statefun.TypeName("f").At("x"), text) }, "not of the form"},
		"a target with two slashes":    {func(ctx *statefun.Context) { ctx.Send(statefun.TypeName("a//f").At("x"), text) }, "not of the form"},
		"an id that is not UTF-8":      {func(ctx *statefun.Context) { ctx.Send(statefun.TypeName("a/f").At("\xff"), text) }, "id is not UTF-8"},
		"a type that is not UTF-8":     {func(ctx *statefun.Context) { ctx.Send(statefun.TypeName("a/\xff").At("x"), text) }, "is not UTF-8"},
		"an empty value":               {func(ctx *statefun.Context) { ctx.Send(self, statefun.TypedValue{}) }, "empty TypedValue"},
		"a value that is not UTF-8":    {func(ctx *statefun.Context) { ctx.Send(self, statefun.String.Of("\xff")) }, "string is not UTF-8"},
		"a value without an encoding":  {func(ctx *statefun.Context) { ctx.Send(self, unencodable.Of(math.NaN())) }, "encode test/number"},
		"a type without a codec":       {func(ctx *statefun.Context) { ctx.Send(self, statefun.Type[int]{}.Of(1)) }, "no codec"},
		"a value type without a name":  {func(ctx *statefun.Context) { ctx.Send(self, statefun.JSON[int]("n").Of(1)) }, "not of the form"},
		"a header that is not UTF-8":   {func(ctx *statefun.Context) { ctx.Send(self, text.WithHeaders(statefun.Header{Key: "\xff"})) }, "header key"},
		"a reply to nobody":            {func(ctx *statefun.Context) { ctx.Reply(text) }, "no caller"},
		"a delay below zero":           {func(ctx *statefun.Context) { ctx.SendAfter(-time.Second, self, text) }, "below zero"},
		"an empty token":               {func(ctx *statefun.Context) { ctx.SendAfterWithToken(0, self, text, "") }, "token is empty"},
		"cancelling an empty token":    {func(ctx *statefun.Context) { ctx.Cancel("") }, "token is empty"},
		"cancelling \\xff":             {func(ctx *statefun.Context) { ctx.Cancel("\xff") }, "token is not UTF-8"},
		"an egress without namespace":  {func(ctx *statefun.Context) { ctx.Egress("e", text) }, "not of the form"},
		"a nil record":                 {func(ctx *statefun.Context) { ctx.Egress("a/e", nil) }, "record is nil"},
		"a record without a topic":     {func(ctx *statefun.Context) { ctx.Egress("a/e", statefun.KafkaRecord{Value: []byte{}}) }, "needs a topic"},
		"a tombstone":                  {func(ctx *statefun.Context) { ctx.Egress("a/e", statefun.KafkaRecord{Topic: "t"}) }, "tombstones"},
		"a record key of bytes": {func(ctx *statefun.Context) {
			ctx.Egress("a/e", statefun.KafkaRecord{Topic: "t", Key: "\xff", Value: []byte{}})
		}, "the key"},
		"a record header of bytes": {func(ctx *statefun.Context) {
			ctx.Egress("a/e", statefun.KafkaRecord{Topic: "t", Value: []byte{}, Headers: []statefun.Header{{Key: "\xff"}}})
		}, "header key"},
		"a Kinesis record without a stream":   {func(ctx *statefun.Context) { ctx.Egress("a/e", statefun.KinesisRecord{}) }, "needs a stream"},
		"a Kinesis record without a key":      {func(ctx *statefun.Context) { ctx.Egress("a/e", statefun.KinesisRecord{Stream: "s"}) }, "partition key"},
		"a Kinesis record without a value":    {func(ctx *statefun.Context) { ctx.Egress("a/e", statefun.KinesisRecord{Stream: "s", PartitionKey: "k"}) }, "value"},
		"a state value without an encoding":   {func(ctx *statefun.Context) { number.Set(ctx, math.Inf(1)) }, `set state "number"`},
		"a state of another type than stated": {func(ctx *statefun.Context) { other.Set(ctx, 1) }, "used as io.statefun.types/long"},
		"removing it":                         {func(ctx *statefun.Context) { other.Remove(ctx) }, "used as io.statefun.types/long"},
		"a state with a bad name":             {func(ctx *statefun.Context) { badName.Set(ctx, 1) }, "letters, digits and _"},
	} {
		t.Run(name, func(t *testing.T) {
			h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error {
				ctx.Send(self, text)
				if err := ctx.Failure(); err != nil {
					t.Errorf("a good effect failed: %v", err)
				}
				c.effect(ctx)
				if ctx.Failure() == nil {
					t.Error("Failure knows nothing of it")
				}
				return nil
			}, number)
			_, err := h.Invoke(context.Background(), body(t,
				`invocation { target { namespace: "example" type: "f" id: "x" } state { state_name: "number" } invocations { argument {} } }`))
			if err == nil || !strings.Contains(err.Error(), c.reason) || !strings.HasPrefix(err.Error(), "call example/f/x: ") {
				t.Errorf("error %v, wanted one with %q", err, c.reason)
			}
		})
	}
}

func TestFaultyFunctionsAreRefusedAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		function statefun.Function
		reason   string
	}{
		"no slash":                 {statefun.Function{Type: "f", Invoke: nothing}, "not of the form"},
		"a wildcard as namespace":  {statefun.Function{Type: "*/f", Invoke: nothing}, "behind the last slash"},
		"no code":                  {statefun.Function{Type: "a/f"}, "Invoke is nil"},
		"a nil state":              {statefun.Function{Type: "a/f", Invoke: nothing, States: []statefun.State{nil}}, "state 0 is nil"},
		"a state twice":            {with(statefun.Value[bool]("s"), statefun.Value[int64]("s")), "declared twice"},
		"a name with a dash":       {with(statefun.Value[bool]("a-b")), "letters, digits"},
		"a name with a digit":      {with(statefun.Value[bool]("1a")), "letters, digits"},
		"no name":                  {with(statefun.Value[bool]("")), "letters, digits"},
		"a TTL of nothing":         {with(statefun.Value[bool]("s", statefun.ExpireAfterWrite(0))), "less than a millisecond"},
		"two TTLs":                 {with(statefun.Value[bool]("s", statefun.ExpireAfterWrite(1e9), statefun.ExpireAfterInvoke(1e9))), "several expirations"},
		"a type with two slashes":  {with(statefun.ValueOf("s", statefun.Bytes("a/b/c"))), "exactly one slash"},
		"a type that is not there": {with(statefun.ValueOf("s", statefun.Type[int]{})), "no codec"},
	} {
		if _, err := statefun.NewHandler(c.function); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: error %v, wanted one with %q", name, err, c.reason)
		}
	}
	if _, err := statefun.NewHandler(with(), with()); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("a function twice: %v", err)
	}
	if _, err := statefun.NewHandler(with(statefun.Value[bool]("größe_2"), statefun.Value[bool]("_x"))); err != nil {
		t.Errorf("good names: %v", err)
	}
}

func with(states ...statefun.State) statefun.Function {
	return statefun.Function{Type: "a/f", Invoke: nothing, States: states}
}

func TestAValueOfAnotherTypeIsNotRead(t *testing.T) {
	count := statefun.Value[int64]("count")
	h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error {
		_, err := count.Get(ctx)
		return err
	}, count)
	for typename, reason := range map[string]string{
		"shop/Cart":               `holds a value of type shop/Cart`,
		"io.statefun.types/long":  `decode io.statefun.types/long`,
		"io.statefun.types/unset": `decode io.statefun.types/long`,
	} {
		_, err := h.Invoke(context.Background(), body(t, `invocation { target { namespace: "example" type: "f" id: "x" }
			state { state_name: "count" state_value { typename: %q has_value: true value: "\377" } } invocations { argument {} } }`, typename))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", typename, err)
		}
	}
	if _, err := statefun.Int64.From(statefun.Message{}); err == nil {
		t.Error("a message of no type was read as an int64")
	}
}
