package task

import (
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// sweeper remembers where the search for expired state goes on. Expired state is never served, whether swept or
// not; the sweep only gives its space back.
type sweeper struct {
	seen bool // the partition has, or may have, expiring state
	from []byte
}

// Sweep deletes expired state of addresses that are in no call, looking at a bounded number of rows, and reports
// whether it came to the end of the partition.
func (t *Task) Sweep(now time.Time) (end bool, err error) {
	from, to := state.KindRange(state.KindExpiry)
	if t.expiry.from != nil {
		from = t.expiry.from
	}
	n := 0
	var last []byte
	err = t.Store.Scan(from, to, t.limits.swept, func(key, value []byte) error {
		n++
		last = append(last[:0], key...)
		return t.sweep(key, value, now)
	})
	if err != nil {
		return false, fmt.Errorf("partition %d: sweep expired state: %w", t.Partition, err)
	}
	if n < t.limits.swept {
		t.expiry.from = nil
		return true, nil
	}
	t.expiry.from = append(last, 0)
	return false, nil
}

func (t *Task) sweep(key, value []byte, now time.Time) error {
	if newer, known := t.overlay.get(key); known {
		value = newer
	}
	if value == nil {
		return nil
	}
	e, err := state.ParseExpiry(value)
	if err != nil || now.Before(e.At) {
		return err
	}
	address, name, err := state.ParseExpiryKey(key)
	if err != nil {
		return err
	}
	spec := t.Registry.find(address.Type, name)
	if spec == nil {
		return nil // its function was not called yet: whether it still wants the state to expire is not known
	}
	if m := t.find(address); m != nil && m.flight != nil {
		return nil // its answer may renew it
	}
	t.put(append([]byte(nil), key...), nil)
	if spec.Mode != protocol.ExpireNone { // else the stamp is of an earlier declaration, and the value stays
		t.put(valueKey(address, name), nil)
	}
	return nil
}
