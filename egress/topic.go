package egress

import (
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A topic is what the catalog holds of one topic: what was looked up, and what its refusals taught. The
// catalog's mutex guards it.
type topic struct {
	facts      Facts
	factsSince time.Time
	factsUntil time.Time

	refusedErr   error
	refusedUntil time.Time
	pause        time.Duration // of the last refusal

	ceiling          limit
	keyRequiredUntil time.Time
	records          []refusedRecord
}

// A limit is a size that was learned from a refusal.
type limit struct {
	bytes   int
	lowered time.Time
	until   time.Time
}

type refusedRecord struct {
	hash  uint64
	stamp time.Time // that the record had; counts only if that was what was refused
	err   error
	until time.Time
}

// is tells whether a record with that hash would be refused again for the same reason.
func (old *refusedRecord) is(hash uint64, stamp time.Time) bool {
	return old.hash == hash && (!errors.Is(old.err, kerr.InvalidTimestamp) || old.stamp.Equal(stamp))
}

// last returns until when anything is known.
func (t *topic) last() time.Time {
	last := t.factsUntil
	for _, other := range []time.Time{t.refusedUntil, t.ceiling.until, t.keyRequiredUntil} {
		if other.After(last) {
			last = other
		}
	}
	for _, r := range t.records {
		if r.until.After(last) {
			last = r.until
		}
	}
	return last
}

// refuseLocked returns why a topic with fresh facts does not take r, or nil.
func (c *Catalog) refuseLocked(t *topic, r *kgo.Record, now time.Time) *Refusal {
	switch {
	case t.facts.Err != nil:
		return refusal(r.Topic, t.facts.Err)
	case t.facts.WriteDenied:
		return refusal(r.Topic, kerr.TopicAuthorizationFailed)
	case t.facts.Partitions < 1:
		return refusal(r.Topic, kerr.UnknownTopicOrPartition)
	}
	if size, most := Size(r), c.limitLocked(t, now); size > most {
		return tooLarge(r.Topic, size, most)
	}
	if r.Key == nil && (t.facts.KeyRequired || now.Before(t.keyRequiredUntil)) {
		return keyRequired(r.Topic)
	}
	if len(t.records) > 0 {
		hash := c.hash(r)
		for i := range t.records {
			if refused := &t.records[i]; refused.is(hash, r.Timestamp) && now.Before(refused.until) {
				return refusal(r.Topic, refused.err)
			}
		}
	}
	return nil
}

// Refuse enters that r failed with err when it was produced, so that the check refuses it the next time. It
// reports whether err is r's own: if not, the producer, the transaction or the cluster is to blame, nothing is
// learned, and the same record may be sent again.
func (c *Catalog) Refuse(r *kgo.Record, err error, now time.Time) bool {
	kind := blameOf(err)
	if kind == blameRecord && r.Key != nil && errors.Is(err, kerr.CorruptMessage) {
		kind = blameNone // old brokers say so of a record without the key that the topic requires, else it is the network
	}
	if kind == blameNone {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.entryLocked(r.Topic, now)
	switch {
	case kind == blameTopic:
		c.refuseTopicLocked(t, err, now)
	case kind == blameSize:
		c.lowerLocked(t, Size(r), now)
	case r.Key == nil && !errors.Is(err, kerr.InvalidTimestamp):
		t.keyRequiredUntil = now.Add(c.opt.RefusalAge)
	default:
		c.rememberLocked(t, r, err, now)
	}
	return true
}

// refuseTopicLocked refuses all records of a topic for a while, and twice as long if it has just been tried again.
func (c *Catalog) refuseTopicLocked(t *topic, err error, now time.Time) {
	if now.Before(t.refusedUntil) {
		return // of the same transaction
	}
	if t.pause = 2 * t.pause; t.pause == 0 || now.Sub(t.refusedUntil) > c.opt.FactsAge {
		t.pause = c.opt.RefusalAge
	}
	t.pause = min(t.pause, max(c.opt.FactsAge, c.opt.RefusalAge))
	t.refusedErr, t.refusedUntil = err, now.Add(t.pause)
	t.factsUntil = time.Time{} // look it up before the next trial
}

// lowerLocked learns from a record of that size which the check had let pass. The broker measures the batch, so
// a record of less than half the limit is not to blame at once: the limit is halved, BatchBytes with it.
func (c *Catalog) lowerLocked(t *topic, size int, now time.Time) {
	most := c.limitLocked(t, now)
	if size > most || now.Sub(t.ceiling.lowered) < lowerPause {
		return
	}
	t.ceiling = limit{bytes: max(size-1, most/2), lowered: now, until: now.Add(c.opt.FactsAge)}
	t.factsUntil = time.Time{}
}

// rememberLocked remembers one record.
func (c *Catalog) rememberLocked(t *topic, r *kgo.Record, err error, now time.Time) {
	t.records = slices.DeleteFunc(t.records, func(old refusedRecord) bool { return !now.Before(old.until) })
	hash := c.hash(r)
	if slices.ContainsFunc(t.records, func(old refusedRecord) bool { return old.is(hash, r.Timestamp) }) {
		return
	}
	if len(t.records) == remembered {
		c.refuseTopicLocked(t, err, now)
		return
	}
	t.records = append(t.records, refusedRecord{hash: hash, stamp: r.Timestamp, err: err, until: now.Add(c.opt.FactsAge)})
}

func (c *Catalog) hash(r *kgo.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	_, _ = h.Write(r.Key)
	_ = h.WriteByte(0xff) // never in a UTF-8 key, so key and value cannot run into each other
	_, _ = h.Write(r.Value)
	return h.Sum64()
}
