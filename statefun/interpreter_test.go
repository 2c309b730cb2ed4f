package statefun_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	official "github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// doc is a value that travels as JSON.
type doc struct {
	Text string
	N    int64
}

// The types beside the simple ones.
var (
	docType     = statefun.JSON[doc]("test/doc")
	protoType   = statefun.Protobuf[*durationpb.Duration]()
	rawType     = statefun.Bytes("test/raw")
	programType = statefun.Bytes("test/program")
)

// surface is what both SDKs can do. A kind is the number of a type: 0 bool, 1 int32, … as in kindNames.
type surface interface {
	get(kind int) (value any, present bool, err error)
	set(kind int, value any)
	remove(kind int)
	send(id string, kind int, value any)
	sendAfter(d time.Duration, id, token string, kind int, value any)
	cancel(token string)
	reply(kind int, value any)
	kafka(key string, value []byte)
	kinesis(key, hash string, value []byte)
	egress(kind int, value any)
}

var kindNames = []string{"bool", "int", "long", "float", "double", "string", "doc", "proto", "raw"}

func stateNames() []string {
	var names []string
	for _, kind := range kindNames {
		names = append(names, "s_"+kind)
	}
	return names
}

// program is bytes that are read as instructions; behind the end there are zeros.
type program struct{ source []byte }

func (p *program) done() bool { return len(p.source) == 0 }

func (p *program) next() byte {
	if p.done() {
		return 0
	}
	b := p.source[0]
	p.source = p.source[1:]
	return b
}

// value makes a value of a kind.
func (p *program) value(kind int) any {
	n := int64(int8(p.next())) << (p.next() % 56)
	switch kind {
	case 0:
		return n&1 == 1
	case 1:
		return int32(n)
	case 2:
		return n
	case 3:
		return float32(n) / 3
	case 4:
		return float64(n) / 3
	case 5:
		return fmt.Sprintf("é%d", n)[n&2:]
	case 6:
		return doc{Text: fmt.Sprint("<", n, ">"), N: n}
	case 7:
		return durationpb.New(time.Duration(n))
	}
	return protowire.AppendVarint([]byte{}, uint64(n))[n&1:]
}

// request makes a request for test/f with one to three messages, each a part of the program.
func (p *program) request(states map[string]protoreflect.Message) []byte {
	m := newMessage("ToFunction")
	batch := m.Mutable(m.Descriptor().Fields().ByName("invocation")).Message()
	setAddress(batch, "target", "test", "f", fmt.Sprint("id", p.next()))
	for _, name := range stateNames() {
		s := batch.Mutable(batch.Descriptor().Fields().ByName("state")).List().AppendMutable().Message()
		s.Set(s.Descriptor().Fields().ByName("state_name"), protoreflect.ValueOfString(name))
		if value := states[name]; value != nil {
			s.Set(s.Descriptor().Fields().ByName("state_value"), protoreflect.ValueOfMessage(value))
		}
	}
	for range 1 + p.next()%3 {
		i := batch.Mutable(batch.Descriptor().Fields().ByName("invocations")).List().AppendMutable().Message()
		if p.next()%2 == 0 {
			setAddress(i, "caller", "test", "caller", fmt.Sprint("c", p.next()))
		}
		length := min(int(p.next()), len(p.source))
		argument := i.Mutable(i.Descriptor().Fields().ByName("argument")).Message()
		set := func(field string, v any) {
			argument.Set(argument.Descriptor().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOf(v))
		}
		set("typename", string(programType.Name()))
		set("has_value", true)
		set("value", p.source[:length])
		p.source = p.source[length:]
	}
	body, err := proto.Marshal(m.Interface())
	if err != nil {
		panic(err)
	}
	return body
}

func setAddress(m protoreflect.Message, field, namespace, name, id string) {
	a := m.Mutable(m.Descriptor().Fields().ByName(protoreflect.Name(field))).Message()
	for key, v := range map[string]string{"namespace": namespace, "type": name, "id": id} {
		a.Set(a.Descriptor().Fields().ByName(protoreflect.Name(key)), protoreflect.ValueOfString(v))
	}
}

var errProgram = errors.New("the program says so")

// interpret runs a program on either SDK.
func interpret(s surface, isProgram bool, source []byte) error {
	if !isProgram {
		return nil
	}
	for p := (&program{source}); !p.done(); {
		op := p.next() % 24
		kind := int(p.next()) % len(kindNames)
		id, token := fmt.Sprint("to", p.next()%4), fmt.Sprint("token", p.next()%4)
		switch op {
		case 0, 1, 2, 3:
			s.set(kind, p.value(kind))
		case 4:
			s.remove(kind)
		case 5, 6, 7, 8, 9:
			value, present, err := s.get(kind)
			if err != nil {
				return err
			}
			if s.send(id, 0, present); present {
				s.send(id, kind, value)
			}
		case 10, 11:
			s.send(id, kind, p.value(kind))
		case 12:
			s.sendAfter(time.Duration(p.next())*333*time.Microsecond, id, "", kind, p.value(kind))
		case 13:
			s.sendAfter(time.Duration(p.next())*time.Second, id, token, kind, p.value(kind))
		case 14:
			s.cancel(token)
		case 15:
			s.reply(kind, p.value(kind))
		case 16, 17:
			s.kafka([]string{"", "key"}[p.next()%2], []byte(p.value(5).(string)))
		case 18:
			s.kinesis("key", []string{"", "hash"}[p.next()%2], p.value(8).([]byte))
		case 19:
			s.egress(kind, p.value(kind))
		case 20:
			if p.next() == 7 {
				return errProgram
			}
		case 21:
			if p.next() == 7 {
				panic(errProgram)
			}
		}
	}
	return nil
}

// officialSurface is the program's view of the official SDK.
type officialSurface struct{ ctx official.Context }

// officialRaw is the raw bytes type, which the official SDK leaves to its users.
type officialRaw struct{ name statefun.TypeName }

func (r officialRaw) GetTypeName() official.TypeName {
	return official.TypeNameFrom(string(r.name))
}

func (officialRaw) Deserialize(r io.Reader, receiver any) error {
	content, err := io.ReadAll(r)
	*receiver.(*[]byte) = content
	return err
}

func (officialRaw) Serialize(w io.Writer, data any) error {
	_, err := w.Write(data.([]byte))
	return err
}

var officialTypes = []official.SimpleType{official.BoolType, official.Int32Type, official.Int64Type, official.Float32Type, official.Float64Type,
	official.StringType, official.MakeJsonType(official.TypeNameFrom(string(docType.Name()))), official.MakeProtobufType(&durationpb.Duration{}), officialRaw{rawType.Name()}}

func officialStates() []official.ValueSpec {
	var specs []official.ValueSpec
	for i, name := range stateNames() {
		spec := official.ValueSpec{Name: name, ValueType: officialTypes[i]}
		switch i {
		case 1:
			spec.Expiration = official.ExpireAfterWrite(90 * time.Minute)
		case 2:
			spec.Expiration = official.ExpireAfterCall(1500 * time.Microsecond)
		}
		specs = append(specs, spec)
	}
	return specs
}

func (s officialSurface) get(kind int) (any, bool, error) {
	spec := officialStates()[kind]
	receivers := []any{new(bool), new(int32), new(int64), new(float32), new(float64), new(string), new(doc), &durationpb.Duration{}, new([]byte)}
	present := s.ctx.Storage().Get(spec, receivers[kind])
	switch v := receivers[kind].(type) {
	case *bool:
		return *v, present, nil
	case *int32:
		return *v, present, nil
	case *int64:
		return *v, present, nil
	case *float32:
		return *v, present, nil
	case *float64:
		return *v, present, nil
	case *string:
		return *v, present, nil
	case *doc:
		return *v, present, nil
	case *[]byte:
		return *v, present, nil
	}
	return receivers[kind], present, nil
}

func (s officialSurface) set(kind int, value any) { s.ctx.Storage().Set(officialStates()[kind], value) }
func (s officialSurface) remove(kind int)         { s.ctx.Storage().Remove(officialStates()[kind]) }

func officialMessage(to official.Address, kind int, value any) official.MessageBuilder {
	return official.MessageBuilder{Target: to, Value: value, ValueType: officialTypes[kind]}
}

func officialTarget(id string) official.Address {
	return official.Address{FunctionType: official.TypeNameFrom("test/target"), Id: id}
}

func (s officialSurface) send(id string, kind int, value any) {
	s.ctx.Send(officialMessage(officialTarget(id), kind, value))
}

func (s officialSurface) sendAfter(d time.Duration, id, token string, kind int, value any) {
	if token == "" {
		s.ctx.SendAfter(d, officialMessage(officialTarget(id), kind, value))
		return
	}
	t, err := official.NewCancellationToken(token)
	if err != nil {
		panic(err)
	}
	s.ctx.SendAfterWithCancellationToken(d, t, officialMessage(officialTarget(id), kind, value))
}

func (s officialSurface) cancel(token string) {
	t, err := official.NewCancellationToken(token)
	if err != nil {
		panic(err)
	}
	s.ctx.CancelDelayedMessage(t)
}

func (s officialSurface) reply(kind int, value any) {
	if s.ctx.Caller() != nil {
		s.ctx.Send(officialMessage(*s.ctx.Caller(), kind, value))
	}
}

func (s officialSurface) kafka(key string, value []byte) {
	s.ctx.SendEgress(official.KafkaEgressBuilder{Target: official.TypeNameFrom("test/kafka"), Topic: "t", Key: key, Value: value})
}

func (s officialSurface) kinesis(key, hash string, value []byte) {
	s.ctx.SendEgress(official.KinesisEgressBuilder{Target: official.TypeNameFrom("test/kinesis"), Stream: "s", Value: value,
		PartitionKey: key, ExplicitHashKey: hash})
}

func (s officialSurface) egress(kind int, value any) {
	s.ctx.SendEgress(official.GenericEgressBuilder{Target: official.TypeNameFrom("test/generic"), Value: value, ValueType: officialTypes[kind]})
}

// oursSurface is the program's view of this SDK.
type oursSurface struct{ ctx *statefun.Context }

// erased is a type and its state without the type parameter.
type erased struct {
	state  statefun.State
	of     func(any) statefun.TypedValue
	get    func(*statefun.Context) (any, bool, error)
	set    func(*statefun.Context, any)
	remove func(*statefun.Context)
}

func erase[T any](v *statefun.ValueSpec[T]) erased {
	return erased{
		state: v,
		of:    func(value any) statefun.TypedValue { return v.Type().Of(value.(T)) },
		get: func(ctx *statefun.Context) (any, bool, error) {
			value, present, err := v.Lookup(ctx)
			return value, present, err
		},
		set:    func(ctx *statefun.Context, value any) { v.Set(ctx, value.(T)) },
		remove: v.Remove,
	}
}

var oursTypes = []erased{
	erase(statefun.Value[bool]("s_bool")),
	erase(statefun.Value[int32]("s_int", statefun.ExpireAfterWrite(90*time.Minute))),
	erase(statefun.Value[int64]("s_long", statefun.ExpireAfterInvoke(1500*time.Microsecond))),
	erase(statefun.Value[float32]("s_float")),
	erase(statefun.Value[float64]("s_double")),
	erase(statefun.Value[string]("s_string")),
	erase(statefun.ValueOf("s_doc", docType)),
	erase(statefun.ValueOf("s_proto", protoType)),
	erase(statefun.ValueOf("s_raw", rawType)),
}

func oursStates() []statefun.State {
	var states []statefun.State
	for _, t := range oursTypes {
		states = append(states, t.state)
	}
	return states
}

func (s oursSurface) get(kind int) (any, bool, error) { return oursTypes[kind].get(s.ctx) }
func (s oursSurface) set(kind int, value any)         { oursTypes[kind].set(s.ctx, value) }
func (s oursSurface) remove(kind int)                 { oursTypes[kind].remove(s.ctx) }

func oursTarget(id string) statefun.Address { return statefun.TypeName("test/target").At(id) }

func (s oursSurface) send(id string, kind int, value any) {
	s.ctx.Send(oursTarget(id), oursTypes[kind].of(value))
}

func (s oursSurface) sendAfter(d time.Duration, id, token string, kind int, value any) {
	if token == "" {
		s.ctx.SendAfter(d, oursTarget(id), oursTypes[kind].of(value))
		return
	}
	s.ctx.SendAfterWithToken(d, oursTarget(id), oursTypes[kind].of(value), token)
}

func (s oursSurface) cancel(token string) { s.ctx.Cancel(token) }

func (s oursSurface) reply(kind int, value any) {
	if _, present := s.ctx.Caller(); present {
		s.ctx.Reply(oursTypes[kind].of(value))
	}
}

func (s oursSurface) kafka(key string, value []byte) {
	s.ctx.Egress("test/kafka", statefun.KafkaRecord{Topic: "t", Key: key, Value: bytes.Clone(value)})
}

func (s oursSurface) kinesis(key, hash string, value []byte) {
	s.ctx.Egress("test/kinesis", statefun.KinesisRecord{Stream: "s", PartitionKey: key, ExplicitHashKey: hash, Value: bytes.Clone(value)})
}

func (s oursSurface) egress(kind int, value any) {
	s.ctx.Egress("test/generic", oursTypes[kind].of(value))
}
