package worker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Leaders move one by one, so what a take-over hears of a topic may be an error for one of its partitions, which is over a
// moment later. The answer is kept for the other partitions; the error must not be.
func TestATakeOverOutlivesThatAPartitionsLeaderMoves(t *testing.T) {
	for _, topic := range []string{"in", "app-mailbox", "app-changelog"} {
		t.Run(topic, func(t *testing.T) {
			l := newLab(t, setting{}, echo)
			ids := []string{idIn(0, 2, 0), idIn(1, 2, 0)}
			l.up()
			for p, id := range ids {
				l.put("in", int32(p), id, "r0")
				l.expect(id, "1:r0")
			}
			l.kill()
			moving := l.cluster.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: topic, Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: -1,
			})
			l.start()
			l.says("take-over waits")
			moving.Remove()
			for p, id := range ids {
				l.put("in", int32(p), id, "r1")
				l.expect(id, "1:r0", "2:r1")
			}
		})
	}
}

// An offset to start at that the log does not have is a mistake, or of a log that was deleted. Kafka's consumer starts by
// its reset policy then; an error about deleted records would say what did not happen.
func TestAnOffsetOutOfTheLogStartsByTheResetPolicy(t *testing.T) {
	for _, c := range []struct{ offset, policy, first string }{
		{"99", "earliest", "1:r0"}, {"99", "latest", "1:r3"}, {"2", "latest", "1:r2"},
	} {
		t.Run(c.offset+" "+c.policy, func(t *testing.T) {
			text := replaced("startupPosition: {type: earliest}",
				"autoOffsetResetPosition: "+c.policy+"\n  startupPosition: {type: specific-offsets, offsets: [in/0: "+c.offset+"]}")
			l := newLab(t, setting{partitions: 1, module: text}, echo)
			for _, value := range []string{"r0", "r1", "r2"} {
				l.put("in", 0, "K", value)
			}
			l.up()
			l.put("in", 0, "K", "r3")
			l.until("there is an output", func() bool { return len(l.outputs()["K"]) > 0 })
			if got := l.outputs()["K"][0]; got != c.first {
				t.Errorf("the first output is %s, want %s", got, c.first)
			}
		})
	}
}
