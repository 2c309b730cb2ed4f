package topics

import (
	"fmt"
	"strconv"
	"time"

	"github.com/statefun-kafka/statefun-kafka/naming"
)

const (
	// EnvelopeBytes is what a record grows by on its way into mailbox, changelog or dead-letter topic: target and caller,
	// whose ids are the record's key, and the provenance headers.
	EnvelopeBytes = 64 << 10

	// kafkaMaxMessageBytes is Kafka's own default for max.message.bytes.
	kafkaMaxMessageBytes = 1048588

	// Compaction reads closed segments only. With the defaults (a week, 1 GiB) a restore from an empty disk would read
	// every version of a row of the last days.
	changelogSegmentAge   = 10 * time.Minute
	changelogSegmentBytes = 64 << 20
	changelogDirtyRatio   = "0.1"

	// tombstoneRetention is Kafka's default, given explicitly because a worker's local state relies on it.
	tombstoneRetention = 24 * time.Hour

	// createdRetention is for ingress and egress topics that are created here: Kafka's default.
	createdRetention = 7 * 24 * time.Hour
)

// lay fills in the plan from what the cluster has and returns what is wrong with it.
func (p *Plan) lay(c *cluster) error {
	p.ids = make(map[string][16]byte)
	for name, f := range c.topics {
		p.ids[name] = f.id
	}
	ingresses, problems := p.layIngresses(c)
	if p.rescaling {
		problems = append(problems, p.incomplete())
	}
	p.Partitions = p.partitionCount(c, ingresses)
	if p.module.Bare && p.explicitPartitions() == 0 && !p.begun(c) {
		return Errors{p.noApplication()}
	}
	if p.Partitions == 0 {
		problems = append(problems, Problem{Setting: "partitions", Found: "no ingress topic to take it from", Wanted: "a partition count",
			Mend: "give " + naming.Partitions.String()})
	}
	p.Topics = nil
	for _, t := range p.wanted(c, ingresses) {
		f, exists := c.topics[t.Name]
		if !exists {
			p.Topics = append(p.Topics, t)
			continue
		}
		problems = append(problems, p.check(t, f)...)
		p.Topics = append(p.Topics, f.topic(t))
	}
	p.Topics = append(p.Topics, ingresses...)
	problems = append(problems, p.layOwn(c, p.largestRecord(c, ingresses))...)
	p.layEgresses(c)
	p.TombstoneRetention = p.changelogTombstones()
	p.Warnings = p.warnings(c)
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// topic is a planned topic as the cluster has it.
func (f found) topic(planned Topic) Topic {
	t := Topic{Name: planned.Name, Role: planned.Role, Partitions: f.partitions, Replication: f.replication, Exists: true, Configs: make(map[string]string)}
	for _, key := range shown {
		if value, ok := f.configs[key]; ok {
			t.Configs[key] = value
		}
	}
	return t
}

func (p *Plan) layIngresses(c *cluster) ([]Topic, Errors) {
	var list []Topic
	var problems Errors
	p.deleted = nil
	seen := make(map[string]bool)
	for _, in := range p.ingresses() {
		for _, it := range in.Topics {
			if seen[it.Topic] || it.Own {
				continue
			}
			seen[it.Topic] = true
			t := p.ordinary(it.Topic, RoleIngress, p.ingressPartitions())
			if f, ok := c.topics[it.Topic]; ok {
				t = f.topic(t)
			} else if p.module.Bare {
				p.deleted = append(p.deleted, it.Topic)
				continue
			} else if !p.options.CreateIngress {
				problems = append(problems, p.missingIngress(in.ID.String(), it.Topic))
			}
			list = append(list, t)
		}
	}
	return list, problems
}

func (p *Plan) layEgresses(c *cluster) {
	known := make(map[string]bool)
	for _, t := range p.Topics {
		known[t.Name] = true
	}
	for _, wanted := range p.options.Egress {
		if known[wanted.Name] {
			continue
		}
		known[wanted.Name] = true
		t := p.ordinary(wanted.Name, RoleEgress, wanted.Partitions)
		if f, ok := c.topics[wanted.Name]; ok {
			t = f.topic(t)
		}
		p.Topics = append(p.Topics, t)
	}
}

func (p *Plan) ingressPartitions() int32 {
	switch {
	case p.options.IngressPartitions > 0:
		return p.options.IngressPartitions
	case p.explicitPartitions() > 0:
		return p.explicitPartitions()
	}
	return defaultPartitions
}

func (p *Plan) explicitPartitions() int32 {
	if p.options.Partitions > 0 {
		return p.options.Partitions
	}
	return int32(p.module.Application.Partitions)
}

// partitionCount is N. An application that exists keeps its count when an ingress topic grows: the addresses of its state
// are where that count put them.
func (p *Plan) partitionCount(c *cluster, ingresses []Topic) int32 {
	if n := p.explicitPartitions(); n > 0 {
		return n
	}
	for _, name := range []string{p.ChangelogName(), p.MailboxName()} {
		if f, ok := c.topics[name]; ok {
			return f.partitions
		}
	}
	var largest int32
	for _, t := range ingresses {
		largest = max(largest, t.Partitions)
	}
	own := p.ownTopics()
	for _, name := range own {
		largest = max(largest, c.topics[name].partitions)
	}
	if largest == 0 && len(own) > 0 {
		return defaultPartitions
	}
	return largest
}

// wanted are the three topics of the application's own.
func (p *Plan) wanted(c *cluster, ingresses []Topic) []Topic {
	size := strconv.FormatInt(p.largestRecord(c, ingresses)+EnvelopeBytes, 10)
	retention := p.options.DeadLetterRetention
	if retention == 0 {
		retention = defaultDeadLetterRetention
	}
	topic := func(name, role string, partitions int32, configs map[string]string) Topic {
		configs[maxMessageBytes] = size
		return Topic{Name: name, Role: role, Partitions: partitions, Replication: p.options.Replication, Configs: configs}
	}
	return []Topic{
		topic(p.MailboxName(), RoleMailbox, p.Partitions, map[string]string{
			cleanupPolicy:  "delete",
			retentionMs:    "-1",
			retentionBytes: "-1",
		}),
		topic(p.ChangelogName(), RoleChangelog, p.Partitions, map[string]string{
			cleanupPolicy:     "compact",
			retentionMs:       "-1",
			retentionBytes:    "-1",
			segmentMs:         milliseconds(changelogSegmentAge),
			segmentBytes:      strconv.Itoa(changelogSegmentBytes),
			minDirtyRatio:     changelogDirtyRatio,
			deleteRetentionMs: milliseconds(tombstoneRetention),
		}),
		topic(p.DeadLetterName(), RoleDeadLetter, 1, map[string]string{
			cleanupPolicy: "delete",
			retentionMs:   milliseconds(retention),
		}),
	}
}

// largestRecord is what an ingress topic takes at most.
func (p *Plan) largestRecord(c *cluster, ingresses []Topic) int64 {
	largest := int64(kafkaMaxMessageBytes)
	for _, t := range ingresses {
		largest = max(largest, number(t.Configs[maxMessageBytes]))
	}
	for _, name := range p.ownTopics() {
		largest = max(largest, number(c.topics[name].configs[maxMessageBytes]))
	}
	return largest
}

// ordinary is an ingress or egress topic that would be created.
func (p *Plan) ordinary(name, role string, partitions int32) Topic {
	if partitions <= 0 {
		partitions = defaultPartitions
	}
	return Topic{Name: name, Role: role, Partitions: partitions, Replication: p.options.Replication, Configs: map[string]string{
		cleanupPolicy:   "delete",
		retentionMs:     milliseconds(createdRetention),
		maxMessageBytes: strconv.Itoa(kafkaMaxMessageBytes),
	}}
}

func (p *Plan) changelogTombstones() time.Duration {
	t, _ := p.Topic(RoleChangelog)
	if ms := number(t.Configs[deleteRetentionMs]); ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return tombstoneRetention
}

func (p *Plan) warnings(c *cluster) []string {
	list := p.gone()
	for _, t := range p.Topics {
		if (t.Role == RoleIngress || t.Role == RoleOwn) && p.Partitions > 0 && t.Partitions%p.Partitions != 0 {
			list = append(list, fmt.Sprintf("ingress topic %s has %d partitions, the application %d: records cross between workers, which is right and slower; a multiple of %d avoids it",
				t.Name, t.Partitions, p.Partitions, p.Partitions))
		}
		if t.Exists && (t.Role == RoleChangelog || t.Role == RoleMailbox || t.Role == RoleOwn) && t.Replication == 1 && c.brokers > 1 {
			list = append(list, fmt.Sprintf("topic %s has one copy on a cluster of %d brokers: with that broker's disk its content is lost", t.Name, c.brokers))
		}
	}
	return list
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
