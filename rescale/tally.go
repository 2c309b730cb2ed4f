package rescale

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// Sum counts rows. Its checksum does not depend on their order.
type Sum struct {
	Rows  int64
	Bytes int64
	hash  [2]uint64
}

func (s *Sum) add(bytes int64) {
	s.Rows++
	s.Bytes += bytes
}

func (s *Sum) hashed(same []byte) {
	h := sha256.Sum256(same)
	s.hash[0] += binary.BigEndian.Uint64(h[:])
	s.hash[1] += binary.BigEndian.Uint64(h[8:])
}

// Checksum is the sum of the rows' hashes.
func (s *Sum) Checksum() string { return fmt.Sprintf("%016x%016x", s.hash[0], s.hash[1]) }

// kindNames are the kinds that are carried over, in the order in which they are shown.
var kindNames = []struct {
	kind byte
	name string
}{
	{state.KindValue, "state"}, {state.KindExpiry, "expiry"}, {state.KindPending, "pending"}, {state.KindTimer, "timer"},
	{state.KindToken, "token"}, {state.KindProgress, "progress"}, {state.KindIngress, "ingress"}, {state.KindOutbox, "outbox"}, {kindInvalid, "invalid"},
}

// kindInvalid stands for messages of the mailbox that are none. They stay messages, for the worker to deal with.
const kindInvalid byte = '?'

// tally is what there is of each kind and in each partition.
type tally struct {
	kinds    map[byte]*Sum
	here     []Sum // by the partition that has the rows
	there    []Sum // by the partition, of another count, that they belong to
	unread   Sum   // messages that become pending rows
	leftOut  int64
	ingress  map[string]ingressRow
	readBack bool // what was written: its ingress rows are compared one by one
}

// ingressRow is what the partitions say of one ingress topic.
type ingressRow struct {
	row        state.Row
	partitions int32
}

func newTally(here, there int32) *tally {
	t := &tally{kinds: map[byte]*Sum{}, here: make([]Sum, here), there: make([]Sum, there), ingress: map[string]ingressRow{}}
	for _, k := range kindNames {
		t.kinds[k.kind] = &Sum{}
	}
	return t
}

// take counts a row of partition p and refuses one that does not belong there.
func (t *tally) take(p int32, c *carried) error {
	size := int64(len(c.row.Key) + len(c.row.Value))
	if c.kind == state.KindIngress && t.readBack {
		t.count(c.kind, c.same, size)
		t.here[p].add(size)
		return nil
	}
	if c.kind == state.KindIngress {
		return t.takeIngress(p, c, size)
	}
	if owner := c.owner(int32(len(t.here))); owner != p {
		return fmt.Errorf("a row of kind %q lies in partition %d and belongs to %d: the topic's partitions were changed by hand", c.kind, p, owner)
	}
	t.count(c.kind, c.same, size)
	t.here[p].add(size)
	t.there[c.owner(int32(len(t.there)))].add(size)
	if c.unread {
		t.unread.add(size)
	}
	return nil
}

func (t *tally) count(kind byte, same []byte, size int64) {
	t.kinds[kind].add(size)
	t.kinds[kind].hashed(same)
}

// takeIngress notes since when a topic is read; the earliest is told to all partitions.
func (t *tally) takeIngress(p int32, c *carried, size int64) error {
	topic, err := state.ParseIngressKey(c.row.Key)
	if err != nil {
		return err
	}
	now, err := state.ParseIngress(c.row.Value)
	if err != nil {
		return err
	}
	t.here[p].add(size)
	known, is := t.ingress[topic]
	if is {
		before, err := state.ParseIngress(known.row.Value)
		if err != nil {
			return err
		}
		if before.TopicID != now.TopicID {
			return fmt.Errorf("the partitions have read topic %s under two topic ids: it was deleted and created anew: start the application, which refuses or ends it, before the rescale", topic)
		}
		if before.Since.Before(now.Since) {
			now = before
		}
	}
	t.ingress[topic] = ingressRow{state.Row{Key: state.IngressKey(topic), Value: state.AppendIngress(nil, now)}, known.partitions + 1}
	return nil
}

// spread makes the ingress rows those of every new partition. A topic that only some partitions have begun to read has no
// such row to give.
func (t *tally) spread() error {
	for topic, row := range t.ingress {
		if int(row.partitions) != len(t.here) {
			return refuse("topic %s is read by %d of %d partitions so far: start the application until it is ready (with that topic in the module, if it was taken out), stop it, and run the rescale again", topic, row.partitions, len(t.here))
		}
		same := append(append([]byte{}, row.row.Key...), row.row.Value...)
		for p := range t.there {
			size := int64(len(same))
			t.count(state.KindIngress, same, size)
			t.there[p].add(size)
		}
	}
	return nil
}

// differences compares what was written with what was read.
func (t *tally) differences(written *tally) (list []string) {
	for _, k := range kindNames {
		if a, b := t.kinds[k.kind], written.kinds[k.kind]; *a != *b {
			list = append(list, fmt.Sprintf("%s: %d rows with %d bytes and checksum %s became %d with %d and %s", k.name, a.Rows, a.Bytes, a.Checksum(), b.Rows, b.Bytes, b.Checksum()))
		}
	}
	for p := range t.there {
		if a, b := t.there[p], written.here[p]; a.Rows != b.Rows || a.Bytes != b.Bytes {
			list = append(list, fmt.Sprintf("partition %d: %d rows with %d bytes became %d with %d", p, a.Rows, a.Bytes, b.Rows, b.Bytes))
		}
	}
	if written.leftOut > 0 {
		list = append(list, fmt.Sprintf("%d tokens lead to no delayed message", written.leftOut))
	}
	return list
}
