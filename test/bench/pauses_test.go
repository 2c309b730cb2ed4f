package main

import (
	"fmt"
	"testing"
	"time"
)

// history is a load of ten inputs a second on two partitions in turn, each answered after 20 ms, with the exceptions.
func history(n int, late map[int]time.Duration) outputs {
	l := &load{perSecond: 10, began: time.Unix(1000, 0), from: 5}
	l.next.Store(int64(5 + n))
	l.acks = make([]time.Duration, 5+n)
	for seq := range l.acks {
		l.acks[seq] = time.Duration(seq) * time.Millisecond
	}
	o := outputs{load: l, latency: make([]time.Duration, 5+n), partition: func(seq int) int32 { return int32(seq % 2) }}
	for seq := 5; seq < 5+n; seq++ {
		o.latency[seq] = 20 * time.Millisecond
		if d, ok := late[seq]; ok {
			o.latency[seq] = d
		}
	}
	return o
}

func TestLoadFindsTheInputThatIsDue(t *testing.T) {
	l := history(30, nil).load
	for seq := 5; seq < 35; seq++ {
		if got := l.at(l.due(seq)); got != seq {
			t.Fatalf("at its own time input %d is number %d", seq, got)
		}
		if got := l.at(l.due(seq).Add(1)); got != min(seq+1, 35) {
			t.Fatalf("a moment after input %d comes number %d", seq, got)
		}
	}
	if before, after := l.at(l.began.Add(-time.Hour)), l.at(l.began.Add(time.Hour)); before != 5 || after != 35 {
		t.Fatalf("before all %d, after all %d", before, after)
	}
}

func TestARoundIsJudgedByTheInputsThatWaited(t *testing.T) {
	const s = time.Second
	// The signal comes at 4 s. Partition 1 (odd numbers) stands still: its inputs of 3.8 s to 5.8 s come at 6 s.
	late := map[int]time.Duration{}
	for seq := 43; seq <= 63; seq += 2 {
		late[seq] = 6*s - time.Duration(seq-5)*s/10
	}
	late[66] = 700 * time.Millisecond  // the other partition, at 6.1 s
	late[85] = 2500 * time.Millisecond // at 8 s, after the return
	late[15] = 300 * time.Millisecond  // at 1 s, before anything
	late[99] = 9999 * time.Millisecond // at 9.4 s, after the round
	o := history(110, late)
	at := func(d time.Duration) time.Time { return o.load.began.Add(d) }
	r := round{
		worker: "w", owned: []int32{1}, rested: at(0), at: at(4 * s), served: at(6 * s), back: at(7 * s), over: at(9 * s),
		serves: map[int32]time.Time{1: at(6 * s), 3: at(5 * s)},
	}
	p := r.judge(o, true)
	want := pause{Worker: "w", Partitions: 1, First: 1, All: 2, Gap: 6 - 3.62, Wait: 2.2, Others: 0.7, Return: 2.5, Before: 0.3, Ack: 0.094}
	if figures(p) != figures(want) {
		t.Fatalf("stays away:\n%+v, want\n%+v", p, want)
	}
	// A worker that starts again at once is judged up to the end of the round.
	r.back, want.Return, want.Wait = at(4*s), 0, 2.5
	late[84] = 800 * time.Millisecond
	want.Others = 0.8
	if p = r.judge(history(110, late), false); figures(p) != figures(want) {
		t.Fatalf("comes back:\n%+v, want\n%+v", p, want)
	}
}

func TestOutputsThatCameInAnotherOrderMakeNoGap(t *testing.T) {
	o := history(30, map[int]time.Duration{11: 250 * time.Millisecond}) // comes at 0.85 s, after number 13
	o.load.began = o.load.began.Add(time.Second)
	got := o.gap(o.load.began, o.load.began.Add(time.Second), []int32{1})
	if want := 400 * time.Millisecond; got != want {
		t.Fatalf("gap %v, want %v", got, want)
	}
}

// figures rounds them to what the clock of the test is exact for.
func figures(p pause) string {
	return fmt.Sprintf("%s %d %.3f", p.Worker, p.Partitions, []float64{p.First, p.All, p.Gap, p.Wait, p.Others, p.Return, p.Before, p.Ack})
}

func TestQuantilesOfTenRoundsEndWithTheWorst(t *testing.T) {
	p := &pauses{}
	for n := range 10 {
		p.Rounds = append(p.Rounds, pause{All: float64(10 - n)})
	}
	if a, b, c := p.at(0.5, pause.all), p.at(0.99, pause.all), p.at(1, pause.all); a != 6 || b != 10 || c != 10 {
		t.Fatalf("p50 %v, p99 %v, max %v", a, b, c)
	}
}

func TestTimelineShowsTheMiddleRound(t *testing.T) {
	late := map[int]time.Duration{45: 1500 * time.Millisecond} // due at 4 s
	o := history(200, late)
	tr := &trial{}
	for _, took := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second} {
		at := o.load.began.Add(4 * time.Second)
		tr.rounds = append(tr.rounds, round{owned: []int32{1}, at: at, served: at.Add(took)})
	}
	line := tr.timeline(o)
	if len(line.Waits) != 70 || line.From != -2 || line.Waits[20] != 1500 || line.Others[21] != 20 {
		t.Fatalf("%+v", line)
	}
	tr.rolling = true
	tr.rounds[2].at, tr.rounds[2].over = tr.rounds[2].at.Add(time.Second), tr.rounds[2].at.Add(3*time.Second)
	if line = tr.timeline(o); len(line.Waits) != 80 || len(line.Marks) != 3 || line.Marks[2] != 1 || line.Waits[21] != 20 {
		t.Fatalf("%+v", line)
	}
}

func TestAWatchWaitsForAnOutputOfEachPartition(t *testing.T) {
	now := time.Unix(50, 0)
	r := &reader{}
	w := r.served([]int32{1, 2}, now, func(key string) int32 { return int32(len(key)) })
	closed := func() bool {
		select {
		case <-w.done:
			return true
		default:
			return false
		}
	}
	r.watch.see([]byte("a"), now, now.Add(3))          // was due before the end of the old owner
	r.watch.see([]byte("abc"), now.Add(1), now.Add(4)) // of another partition
	r.watch.see([]byte("bb"), now.Add(1), now.Add(5))
	r.watch.see([]byte("bb"), now.Add(1), now.Add(6))
	if closed() || !w.serves[1].IsZero() || !w.serves[2].Equal(now.Add(5)) {
		t.Fatalf("%+v", w)
	}
	r.watch.see([]byte("a"), now.Add(2), now.Add(7))
	r.watch.see([]byte("a"), now.Add(2), now.Add(8))
	if !closed() || !w.serves[1].Equal(now.Add(7)) {
		t.Fatalf("%+v", w)
	}
	(*watch)(nil).see(nil, now, now) // nobody watches
}
