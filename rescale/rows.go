package rescale

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// What becomes of the kinds of rows when the count of partitions changes:
//
//	value, expiry   to the partition of their address, as they are
//	pending         to the partition of their address, numbered anew in the same order
//	timer, token    to the partition of the sender's id; the timer is numbered anew, its token leads to the new number
//	progress        of an ingress partition q to partition q % N, as it is with all finished offsets; of the mailbox not at all,
//	                since the new one is read from its first offset
//	ingress         to every partition
//	outbox          to the partition of the sender's id, numbered anew in the same order; under the same id for its readers
//	barrier         not at all
//
// Unread messages of the mailbox become pending rows behind those of their address. As messages of the new mailbox they could
// be overtaken: a record that crossed to its address from an ingress partition of another owner may find its successors in
// an ingress partition of the same owner now, which are read beside the mailbox.

// rowStore is what is read of a store.
type rowStore interface {
	Get(p int32, key []byte) ([]byte, error)
	Scan(p int32, from, to []byte, limit int, visit func(key, value []byte) error) error
}

// unreadSeq is above all numbers of pending rows: unread messages lie in the local store behind it, by their offset.
const unreadSeq = 1 << 62

// carried is a row that a rescale carries over.
type carried struct {
	kind   byte
	id     string // whose partition owns the row; not of progress and ingress rows
	source int32  // of a progress row: the partition of its topic
	row    state.Row
	unread bool // a message of the mailbox that becomes a pending row
	// same is what no rescale changes: the row without its number, with its place among those it has to stay in order with.
	same []byte
}

// owner is the partition out of n that owns the row. An ingress row belongs to all of them.
func (c *carried) owner(n int32) int32 {
	if c.kind == state.KindProgress {
		return c.source % n
	}
	return router.Partition(c.id, n)
}

// walker visits the rows of one partition that are carried over, a token directly behind its timer. What it hands out is
// valid until visit returns.
type walker struct {
	store     rowStore
	partition int32
	mailbox   string // topic whose progress stays behind
	visit     func(c *carried) error

	leftOut int64 // tokens without a timer, which cancel nothing
	// order counts, for what has to stay in order, how many came before: pending rows of the address that was visited
	// last, and timers of each sender that fire at the time visited last.
	address []byte
	before  uint64
	fireAt  int64
	senders map[string]uint64
	// sent counts the outbox rows of each sender for the target visited last.
	target string
	sent   map[string]uint64
}

func (w *walker) walk() error {
	err := w.store.Scan(w.partition, nil, nil, 0, func(key, value []byte) error {
		row := state.Row{Key: key, Value: value}
		if err := state.CheckVersion(row); err != nil {
			return err
		}
		switch key[0] {
		case state.KindBarrier:
			return nil
		case state.KindToken:
			return w.checkToken(row)
		case state.KindPending:
			return w.pending(row)
		case state.KindTimer:
			return w.timer(row)
		case state.KindOutbox:
			return w.outbox(row)
		case state.KindProgress:
			return w.progress(row)
		case state.KindValue, state.KindExpiry:
			return w.named(row)
		case state.KindIngress:
			return w.visit(&carried{kind: state.KindIngress, row: row, same: bytes.Join([][]byte{key, value}, nil)})
		}
		return fmt.Errorf("rows of the kind %q cannot be rescaled by this build", key[0])
	})
	if err != nil {
		return fmt.Errorf("partition %d: %w", w.partition, err)
	}
	return nil
}

func (w *walker) named(row state.Row) error {
	parse := state.ParseValueKey
	if row.Key[0] == state.KindExpiry {
		parse = state.ParseExpiryKey
	}
	a, _, err := parse(row.Key)
	if err != nil {
		return err
	}
	return w.visit(&carried{kind: row.Key[0], id: a.ID, row: row, same: bytes.Join([][]byte{row.Key, row.Value}, nil)})
}

func (w *walker) pending(row state.Row) error {
	a, seq, err := state.ParsePendingKey(row.Key)
	if err != nil {
		return err
	}
	prefix := state.PendingPrefix(a)
	if !bytes.Equal(prefix, w.address) {
		w.address, w.before = prefix, 0
	}
	same := binary.BigEndian.AppendUint64(bytes.Clone(prefix), w.before)
	w.before++
	return w.visit(&carried{kind: state.KindPending, id: a.ID, row: row, unread: seq >= unreadSeq, same: append(same, row.Value...)})
}

func (w *walker) timer(row state.Row) error {
	fireAt, seq, err := state.ParseTimerKey(row.Key)
	if err != nil {
		return err
	}
	t, err := state.ParseTimer(row.Value)
	if err != nil {
		return err
	}
	if fireAt != w.fireAt || w.senders == nil {
		w.fireAt, w.senders = fireAt, map[string]uint64{}
	}
	same := binary.BigEndian.AppendUint64([]byte{state.KindTimer}, uint64(fireAt))
	same = binary.BigEndian.AppendUint64(same, w.senders[t.Sender])
	same = append(same, row.Value...)
	w.senders[t.Sender]++
	if err := w.visit(&carried{kind: state.KindTimer, id: t.Sender, row: row, same: same}); err != nil || t.Token == "" {
		return err
	}
	key := state.TokenKey(t.Sender, t.Token)
	value, err := w.store.Get(w.partition, key)
	if err != nil || value == nil {
		return err
	}
	ref, err := state.ParseToken(value)
	if err != nil || ref.FireAtMs != fireAt || ref.Seq != seq { // of a later timer with the same token
		return err
	}
	return w.visit(&carried{kind: state.KindToken, id: t.Sender, row: state.Row{Key: key, Value: value}, same: append(bytes.Clone(key), same...)})
}

// outbox carries what waits for a target. Rows of one sender stay in order, and those that it sends later come behind them,
// because they are in the sender's partition again.
func (w *walker) outbox(row state.Row) error {
	target, _, err := state.ParseOutboxKey(row.Key)
	if err != nil {
		return err
	}
	o, err := state.ParseOutbox(row.Value)
	if err != nil {
		return err
	}
	if target != w.target || w.sent == nil {
		w.target, w.sent = target, map[string]uint64{}
	}
	same := binary.BigEndian.AppendUint64(state.OutboxPrefix(target), w.sent[o.Sender])
	w.sent[o.Sender]++
	return w.visit(&carried{kind: state.KindOutbox, id: o.Sender, row: row, same: append(same, row.Value...)})
}

// checkToken counts a token whose timer is gone. With an old number it could cancel another timer after the rescale.
func (w *walker) checkToken(row state.Row) error {
	id, token, err := state.ParseTokenKey(row.Key)
	if err != nil {
		return err
	}
	ref, err := state.ParseToken(row.Value)
	if err != nil {
		return err
	}
	value, err := w.store.Get(w.partition, state.TimerKey(ref.FireAtMs, ref.Seq))
	if err != nil {
		return err
	}
	if value == nil {
		w.leftOut++
		return nil
	}
	t, err := state.ParseTimer(value)
	if err == nil && (t.Sender != id || t.Token != token) {
		w.leftOut++
	}
	return err
}

func (w *walker) progress(row state.Row) error {
	topic, source, err := state.ParseProgressKey(row.Key)
	if err != nil || topic == w.mailbox {
		return err
	}
	return w.visit(&carried{kind: state.KindProgress, source: source, row: row, same: bytes.Join([][]byte{row.Key, row.Value}, nil)})
}

// mover gives rows their place and number among n partitions.
//
// The numbers of a partition begin at 1 and each goes with a row, so none is above the offset behind its row; those that the
// owner gives after its barrier row are above all of them (docs/decisions/0007-sequence-numbers.md).
type mover struct {
	n    int32
	seqs []uint64 // the last number given, by partition
	put  func(p int32, row state.Row) error
}

func newMover(n int32, put func(p int32, row state.Row) error) *mover {
	return &mover{n: n, seqs: make([]uint64, n), put: put}
}

// move puts a row where it belongs. The row that it hands on is a copy.
func (m *mover) move(c *carried) error {
	if c.kind == state.KindIngress {
		for p := range m.n {
			if err := m.put(p, state.Row{Key: bytes.Clone(c.row.Key), Value: bytes.Clone(c.row.Value)}); err != nil {
				return err
			}
		}
		return nil
	}
	to := c.owner(m.n)
	row := state.Row{Key: bytes.Clone(c.row.Key), Value: bytes.Clone(c.row.Value)}
	switch c.kind {
	case state.KindPending:
		a, _, err := state.ParsePendingKey(row.Key)
		if err != nil {
			return err
		}
		m.seqs[to]++
		row.Key = state.PendingKey(a, m.seqs[to])
	case state.KindOutbox:
		target, _, err := state.ParseOutboxKey(row.Key)
		if err != nil {
			return err
		}
		m.seqs[to]++
		row.Key = state.OutboxKey(target, m.seqs[to])
	case state.KindTimer:
		fireAt, _, err := state.ParseTimerKey(row.Key)
		if err != nil {
			return err
		}
		m.seqs[to]++
		row.Key = state.TimerKey(fireAt, m.seqs[to])
	case state.KindToken: // its timer was moved just before
		ref, err := state.ParseToken(row.Value)
		if err != nil {
			return err
		}
		row.Value = state.AppendToken(nil, state.Token{FireAtMs: ref.FireAtMs, Seq: m.seqs[to]})
	}
	return m.put(to, row)
}
