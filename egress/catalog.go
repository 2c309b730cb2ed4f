package egress

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options of a Catalog; what is 0 gets the default.
type Options struct {
	// FactsAge is how long what is known of a topic is believed. Default 5 minutes: as clients refresh metadata.
	FactsAge time.Duration
	// RefusalAge is how long a topic that refused is not tried again; it doubles up to FactsAge while the topic
	// goes on refusing. Default 10 seconds: each trial costs an aborted transaction.
	RefusalAge time.Duration
	// LookAge is how long a refusal is believed before whoever asks looks the topic up again: somebody may have mended
	// it. Default 2 seconds: a look-up costs little.
	LookAge time.Duration
	// MaxTopics bounds the table, as functions may name any topic. Default 10,000.
	MaxTopics int
	// MaxRecordBytes is what the producer itself takes. Default 1,000,012, as in Kafka.
	MaxRecordBytes int
}

func (o *Options) setDefaults() {
	if o.FactsAge == 0 {
		o.FactsAge = 5 * time.Minute
	}
	if o.RefusalAge == 0 {
		o.RefusalAge = 10 * time.Second
	}
	if o.LookAge == 0 {
		o.LookAge = 2 * time.Second
	}
	if o.MaxTopics == 0 {
		o.MaxTopics = 10_000
	}
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = 1_000_012
	}
}

const (
	// remembered is how many refused records of a topic are remembered one by one. Past it the topic as a whole
	// counts as refusing, else a function whose records all differ would abort one transaction after the other.
	remembered = 8
	// lowerPause is the least time between two steps in which a size limit is learned: all records of one batch
	// that was too large fail together and must count once.
	lowerPause = time.Second
)

// Facts are what a look-up tells of a topic.
type Facts struct {
	// ID is the topic's; a topic that was created anew has another one.
	ID         [16]byte
	Partitions int32
	// MaxMessageBytes is the topic's max.message.bytes; 0: not known.
	MaxMessageBytes int
	// WriteDenied is set when the worker's user is known not to have the right to write.
	WriteDenied bool
	// KeyRequired is set for compacted topics.
	KeyRequired bool
	// Err is the broker's answer for a topic that cannot be used, such as kerr.UnknownTopicOrPartition.
	Err error
}

// unusable facts are of a topic that takes no record at all.
func (f *Facts) unusable() bool { return f.Err != nil || f.WriteDenied || f.Partitions < 1 }

// An Outcome is the short form of a Verdict.
type Outcome uint8

// What can be said of a record. Unknown comes first so that nothing passes by accident.
const (
	Unknown Outcome = iota // nothing or nothing fresh is known of its topic: look it up, Learn, and check again
	OK
	Refused
)

// A Verdict says whether a record can be produced.
type Verdict struct {
	Outcome Outcome
	// Partitions of the topic, when OK.
	Partitions int32
	// Refusal is set when Refused.
	Refusal *Refusal
}

// A Catalog knows of egress topics whether they take a record, so that an answer is refused before its first
// effect and not after. It does no I/O and reads no clock. It is safe for concurrent use.
type Catalog struct {
	opt      Options
	reserved map[string]bool
	seed     maphash.Seed

	mu     sync.Mutex
	topics map[string]*topic
}

// NewCatalog returns an empty catalog.
func NewCatalog(o Options) *Catalog {
	o.setDefaults()
	c := &Catalog{opt: o, reserved: make(map[string]bool), seed: maphash.MakeSeed(), topics: make(map[string]*topic)}
	return c
}

// Reserve names the application's internal topics: a function that writes there would break it.
func (c *Catalog) Reserve(topics ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range topics {
		c.reserved[name] = true
	}
}

// Learn enters what a look-up told. It forgets refusals whose cause is seen to be gone; those whose cause no look-up shows,
// such as a policy of the cluster, end by their time alone, because each trial costs a transaction.
func (c *Catalog) Learn(name string, f Facts, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.entryLocked(name, now)
	before, known := t.facts, !t.factsSince.IsZero()
	if f.MaxMessageBytes > 0 && before.MaxMessageBytes > 0 && f.MaxMessageBytes != before.MaxMessageBytes {
		t.ceiling = limit{} // less explains what was refused for its size, more mends it
	}
	mended := before.unusable() && !f.unusable()
	if known && (mended || before.ID != f.ID && f.ID != [16]byte{} && before.ID != [16]byte{}) {
		*t = topic{}
	}
	age := c.opt.FactsAge
	if f.unusable() {
		age = c.opt.LookAge
	}
	t.facts, t.factsSince, t.factsUntil = f, now, now.Add(age)
}

// Forget drops all that is known of a topic, refusals too.
func (c *Catalog) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics, name)
}

// Len returns how many topics the catalog holds; it never exceeds Options.MaxTopics.
func (c *Catalog) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.topics)
}

// Check says whether r can be produced.
func (c *Catalog) Check(r *kgo.Record, now time.Time) Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reserved[r.Topic] {
		return Verdict{Outcome: Refused, Refusal: ownTopic(r.Topic)}
	}
	t := c.topics[r.Topic]
	if t == nil {
		return Verdict{}
	}
	old := now.Sub(t.factsSince) >= c.opt.LookAge
	if now.Before(t.refusedUntil) {
		if old {
			return Verdict{}
		}
		return Verdict{Outcome: Refused, Refusal: refusal(r.Topic, t.refusedErr)}
	}
	if !now.Before(t.factsUntil) {
		return Verdict{}
	}
	if why := c.refuseLocked(t, r, now); why != nil {
		if old {
			return Verdict{} // somebody may have mended the topic: no refusal rests on older facts
		}
		return Verdict{Outcome: Refused, Refusal: why}
	}
	return Verdict{Outcome: OK, Partitions: t.facts.Partitions}
}

// BatchBytes returns how large a batch for a topic may be, for kgo.ProducerBatchMaxBytesFn: were a batch larger
// than its topic takes, records that are small enough would be refused with it.
func (c *Catalog) BatchBytes(name string, now time.Time) int32 {
	const least, most = 512, 1 << 30 // the bounds of kgo
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[name]
	if t == nil {
		t = &topic{}
	}
	return int32(min(max(c.limitLocked(t, now)+framing, least), most))
}

// limitLocked returns the largest Size of a record that a topic, and the client before it, takes.
func (c *Catalog) limitLocked(t *topic, now time.Time) int {
	n := c.opt.MaxRecordBytes
	if t.facts.MaxMessageBytes > 0 {
		n = min(n, t.facts.MaxMessageBytes)
	}
	n -= framing
	if now.Before(t.ceiling.until) {
		n = min(n, t.ceiling.bytes)
	}
	return n
}

// entryLocked returns the entry of a topic, a new one if need be.
func (c *Catalog) entryLocked(name string, now time.Time) *topic {
	if t := c.topics[name]; t != nil {
		return t
	}
	if len(c.topics) >= c.opt.MaxTopics {
		c.makeRoomLocked(now)
	}
	t := &topic{}
	c.topics[name] = t
	return t
}

// makeRoomLocked deletes what has expired, and when nothing has, what expires first: if it is asked for again
// that costs a look-up.
func (c *Catalog) makeRoomLocked(now time.Time) {
	var first string
	var at time.Time
	for name, t := range c.topics {
		last := t.last()
		switch {
		case !now.Before(last):
			delete(c.topics, name)
		case at.IsZero() || last.Before(at):
			first, at = name, last
		}
	}
	if len(c.topics) >= c.opt.MaxTopics {
		delete(c.topics, first)
	}
}
