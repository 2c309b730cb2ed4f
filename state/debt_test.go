package state

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAFlushIsDue(t *testing.T) {
	for fact, c := range map[string]struct {
		do   func(d *replayDebt, clock *time.Time)
		want bool
	}{
		"not before there is anything": {func(_ *replayDebt, clock *time.Time) { *clock = clock.Add(time.Hour) }, false},
		"not below the limits":         {func(d *replayDebt, _ *time.Time) { d.add(replayRowsLimit-1, replayBytesLimit-1) }, false},
		"at the limit of rows": {func(d *replayDebt, _ *time.Time) {
			d.add(replayRowsLimit-1, 0)
			d.add(1, 0)
		}, true},
		"at the limit of bytes": {func(d *replayDebt, _ *time.Time) { d.add(1, replayBytesLimit) }, true},
		"when a row has waited long": {func(d *replayDebt, clock *time.Time) {
			d.add(1, 1)
			*clock = clock.Add(replayAgeLimit)
		}, true},
		"once, until it begins": {func(d *replayDebt, _ *time.Time) {
			d.add(replayRowsLimit, 0)
			d.flushDue()
			d.add(replayRowsLimit, 0)
		}, false},
		"again for what comes after it began": {func(d *replayDebt, _ *time.Time) {
			d.add(replayRowsLimit, 0)
			d.flushDue()
			d.flushBegan()
			d.add(replayRowsLimit, 0)
		}, true},
		"not for what a flush has covered": {func(d *replayDebt, clock *time.Time) {
			d.add(replayRowsLimit, 0)
			d.flushBegan()
			*clock = clock.Add(time.Hour)
		}, false},
	} {
		t.Run(fact, func(t *testing.T) {
			clock := noon
			d := newReplayDebt(func() time.Time { return clock })
			c.do(d, &clock)
			if got := d.flushDue(); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestRowsAreUnflushedUntilTheirFlushEnds(t *testing.T) {
	d := newReplayDebt(time.Now)
	expect := func(when string, rows, bytes int64) {
		t.Helper()
		if r, b := d.unflushed(); r != rows || b != bytes {
			t.Errorf("%s: %d rows, %d bytes", when, r, b)
		}
	}
	d.add(3, 30)
	d.flushBegan()
	d.add(2, 20)
	expect("while it runs", 5, 50)
	d.flushEnded()
	expect("after it", 2, 20)
}

// A worker that is killed has little to replay, however large its memtables are.
func TestTheStoreFlushesByItself(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := Options{Dir: "state", FS: mem, ApplicationID: "app", MemTableBytes: 256 << 20, CacheBytes: 512 << 20}
	s := mustOpen(t, o)
	const batchRows = 10_000
	rows := make([]Row, batchRows)
	offset := int64(0)
	for range replayRowsLimit / batchRows {
		for i := range rows {
			rows[i] = row(fmt.Sprint(offset), "v")
			offset++
		}
		mustApply(t, s, Change{Rows: rows, Position: at(offset)})
	}
	for deadline := time.Now().Add(time.Minute); s.Pressure().UnflushedRows >= replayRowsLimit; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was flushed: %+v", s.Pressure())
		}
	}
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	again := mustOpen(t, o)
	if pos, _, err := again.Position(0); err != nil || offset-pos.Offset >= replayRowsLimit {
		t.Errorf("killed at %d, it stands at %d, %v", offset, pos.Offset, err)
	}
}
