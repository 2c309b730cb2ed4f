package worker

import "testing"

func TestMessagesOfAnAnswerShareMemoryAndNotBytes(t *testing.T) {
	var s slab
	var all [][]byte
	for i := range 100 {
		b := s.take(1 + i*2)
		if len(b) != 0 || cap(b) != 1+i*2 {
			t.Fatalf("%d: %d of %d bytes", i, len(b), cap(b))
		}
		for range cap(b) {
			b = append(b, byte(i))
		}
		all = append(all, b)
	}
	for i, b := range all {
		for _, c := range b {
			if c != byte(i) {
				t.Fatalf("message %d was overwritten", i)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		var s slab
		for range 8 {
			s.take(60)
		}
	}); n != 1 {
		t.Errorf("%v allocations for eight small messages", n)
	}
}
