package embedded

import (
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// A TopicIngress reads Kafka topics. Its methods change it and return it, to be chained; they are for the time before Run.
type TopicIngress struct{ src source }

// Topics makes an ingress of Kafka topics, whose records have a key that may be anything and a value of the type. A fresh
// application begins to read at the end of the topics, unless From… says otherwise.
func Topics[T any, R Routing[T]](id statefun.TypeName, t statefun.Type[T], route R, topics ...string) *TopicIngress {
	in := &TopicIngress{}
	open(&in.src, id, t, route)
	in.src.topics = slices.Clone(topics)
	in.src.startup = module.Startup{Kind: module.StartLatest}
	return in
}

// FromEarliest makes a fresh application begin with the oldest records.
func (in *TopicIngress) FromEarliest() *TopicIngress {
	return in.from(module.Startup{Kind: module.StartEarliest})
}

// FromGroupOffsets makes a fresh application begin at the offsets that its consumer group has committed, where there are
// some: the group has the name of the application.
func (in *TopicIngress) FromGroupOffsets() *TopicIngress {
	return in.from(module.Startup{Kind: module.StartGroupOffsets})
}

// FromTime makes a fresh application begin with the first record of each partition at or after that time.
func (in *TopicIngress) FromTime(t time.Time) *TopicIngress {
	return in.from(module.Startup{Kind: module.StartDate, Date: t})
}

func (in *TopicIngress) from(s module.Startup) *TopicIngress {
	in.src.startup = s
	return in
}

// OnInvalid says what becomes of records that cannot be decoded or routed: [DeadLetter], which is so without it, [Skip]
// or [Fail].
func (in *TopicIngress) OnInvalid(p Policy) *TopicIngress {
	in.src.invalid = p
	return in
}

// ForwardHeaders adds the records' headers and their place in Kafka to all messages that are made of them.
func (in *TopicIngress) ForwardHeaders() *TopicIngress {
	in.src.forward = true
	return in
}

func (in *TopicIngress) source() *source { return &in.src }
