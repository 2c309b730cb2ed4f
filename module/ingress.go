package module

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// The properties that keys of an ingress or egress stand for; the keys win.
const (
	bootstrapServers = "bootstrap.servers"
	groupID          = "group.id"
	autoOffsetReset  = "auto.offset.reset"
)

// ingress reads io.statefun.kafka.v1/ingress.
func (r *reader) ingress(o *object) { r.ingressOf(o, r.ingressTopics) }

// ingressOf reads what all kinds of ingresses have, and their topics with topics.
func (r *reader) ingressOf(o *object, topics func(o *object, common IngressTopic) []IngressTopic) {
	o.require("id", "topics")
	in := Ingress{Position: o.at}
	in.ID = o.typename("id")
	in.Properties = o.properties()
	in.Address = r.address(o, in.Properties)
	in.ConsumerGroupID = o.text("consumerGroupId", propertyValue(in.Properties, groupID))
	if _, given := o.lookup("consumerGroupId"); in.ConsumerGroupID == "" && !given {
		o.report(`missing key "consumerGroupId"`, o.misspelt("consumerGroupId"))
	}
	in.AutoOffsetReset = r.autoOffsetReset(o, in.Properties)
	in.Startup = r.startup(o.child("startupPosition"))
	in.Topics = topics(o, o.recordHandling(IngressTopic{Invalid: defaultInvalid}))
	if in.ID == (protocol.TypeName{}) {
		return
	}
	in.Position = o.where("id")
	r.declareIngress(in)
}

// declareIngress takes in an ingress, of a file or of the program.
func (r *reader) declareIngress(in Ingress) {
	for _, other := range r.module.Ingresses {
		if other.ID == in.ID {
			r.report(in.Position, fmt.Sprintf("ingress %s is declared twice, first at %s", in.ID, other.where()), "give it another id")
			return
		}
	}
	r.module.Ingresses = append(r.module.Ingresses, in)
}

// address reads the bootstrap servers, which may also stand in the properties.
func (r *reader) address(o *object, properties []Property) string {
	address := read(o, "address", propertyValue(properties, bootstrapServers), parseBrokers)
	if _, given := o.lookup("address"); !given && len(brokerList(address)) == 0 && len(r.opt.Brokers) == 0 {
		o.report(`missing key "address"`, "write address: host:port")
	}
	return address
}

func propertyValue(list []Property, key string) string {
	for _, p := range list {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// autoOffsetReset reads the key, which always wins over the property, its default too.
func (r *reader) autoOffsetReset(o *object, properties []Property) string {
	_, given := o.lookup("autoOffsetResetPosition")
	for _, p := range properties {
		if p.Key == autoOffsetReset && !given {
			r.warn(p.Position, autoOffsetReset+" in properties has no effect: autoOffsetResetPosition is latest by default and wins",
				"write autoOffsetResetPosition: "+p.Value)
		}
	}
	return read(o, "autoOffsetResetPosition", "latest", func(s string) (string, error) {
		lower := strings.ToLower(s)
		if lower != "earliest" && lower != "latest" {
			return "", fmt.Errorf("%q is unknown: use earliest or latest", s)
		}
		return lower, nil
	})
}

// startup reads startupPosition. Its keys for another type do nothing, which is worth a warning.
func (r *reader) startup(o *object) Startup {
	if o == nil {
		return Startup{Kind: StartLatest}
	}
	o.require("type")
	kind := StartupKind(o.folded("type", string(StartLatest), string(StartGroupOffsets), string(StartEarliest),
		string(StartLatest), string(StartSpecificOffsets), string(StartDate)))
	s := Startup{Kind: kind}
	if kind == StartSpecificOffsets {
		o.require("offsets")
		s.Offsets = r.startOffsets(o)
	} else {
		o.noEffect("offsets", "it belongs to type specific-offsets")
	}
	if kind == StartDate {
		o.require("date")
		s.Date = read(o, "date", time.Time{}, parseStartDate)
		if s.Date.After(r.opt.Now()) {
			o.blame("date", "lies in the future", "")
		}
	} else {
		o.noEffect("date", "it belongs to type date")
	}
	o.misplaced("autoOffsetResetPosition", "it belongs beside startupPosition, not into it")
	o.done()
	return s
}

// startOffsets reads - "topic/partition": offset. The last slash counts.
func (r *reader) startOffsets(o *object) map[TopicPartition]int64 {
	if n, ok := o.lookup("offsets"); ok && n.kind() == "a list" && len(n.list()) == 0 {
		n.report("the list is empty", "write - topic/partition: offset")
	}
	offsets := map[TopicPartition]int64{}
	for _, f := range o.pairs("offsets") {
		tp, err := parseTopicPartition(f.key)
		if err != nil {
			r.report(f.at, o.named("offsets: "+err.Error()), "write - topic/partition: offset")
			continue
		}
		text, ok := f.text()
		if !ok {
			continue
		}
		offset, err := parseWhole(text)
		if err != nil || offset < 0 {
			f.report(fmt.Sprintf("%q is not an offset", text), "")
			continue
		}
		if _, twice := offsets[tp]; twice {
			r.report(f.at, o.named(fmt.Sprintf("offsets: partition %s is given twice", f.key)), "keep one of them")
		}
		offsets[tp] = offset
	}
	return offsets
}

func parseTopicPartition(s string) (TopicPartition, error) {
	slash := strings.LastIndexByte(s, '/')
	if slash <= 0 {
		return TopicPartition{}, fmt.Errorf("%q is not a partition of a topic", s)
	}
	partition, err := strconv.ParseUint(s[slash+1:], 10, 31)
	if err != nil {
		return TopicPartition{}, fmt.Errorf("%q has no partition number behind its last slash", s)
	}
	return TopicPartition{Topic: s[:slash], Partition: int32(partition)}, nil
}

// ingressTopics reads the topics; what is the same for all of them stands in common. Of a topic given twice the later
// routing counts, as in StateFun.
func (r *reader) ingressTopics(o *object, common IngressTopic) []IngressTopic {
	elements := o.children("topics")
	if n, ok := o.lookup("topics"); ok && n.kind() == "a list" && len(elements) == 0 {
		n.report("the list is empty", "name at least one topic")
	}
	var topics []IngressTopic
	for _, n := range elements {
		t := r.ingressTopic(n.object(), common)
		if t.Topic == "" {
			continue
		}
		topics = slices.DeleteFunc(topics, func(before IngressTopic) bool {
			if before.Topic != t.Topic {
				return false
			}
			r.warn(t.Position, fmt.Sprintf("topic %s is routed twice: the routing at %s has no effect", t.Topic, before.where()), "")
			return true
		})
		topics = append(topics, t)
	}
	return topics
}

func (r *reader) ingressTopic(o *object, common IngressTopic) IngressTopic {
	if !isMap(o.yaml) {
		return IngressTopic{} // its problem is noted
	}
	valueType := "valueType"
	if r.version == version1 || r.version == version2 {
		valueType = "typeUrl"
	}
	o.require("topic", valueType, "targets")
	t := o.recordHandling(common)
	t.Topic, t.ValueType, t.Position = read(o, "topic", "", parseTopic), o.text(valueType, ""), o.where("topic")
	if n, ok := o.lookup(valueType); ok && (n.kind() == "a number" || n.kind() == "true or false") {
		n.report("must be text, found "+n.kind(), "put it in quotes")
	}
	targets := o.children("targets")
	for _, n := range targets {
		text, ok := n.text()
		if !ok {
			continue
		}
		fn, err := r.parseName(text)
		if err != nil {
			n.report(err.Error(), "")
			continue
		}
		t.Targets = append(t.Targets, fn)
		r.targetsAt[t.Position] = append(r.targetsAt[t.Position], n.at)
	}
	if n, ok := o.lookup("targets"); ok && n.kind() == "a list" && len(targets) == 0 {
		r.warn(n.at, fmt.Sprintf("topic %s has no targets: its records are read and dropped", t.Topic), "")
	}
	o.done()
	return t
}
