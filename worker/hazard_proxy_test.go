package worker

import (
	"testing"
	"time"
)

// The brokers are dead for a moment behind a proxy, which takes connections and closes them at once. The group client gives
// the partitions up, as it does where connections are refused, and has them back as soon as the brokers are: from its own
// disk, with nothing lost or doubled.
func TestBrokersThatAreAwayForAMomentBehindAProxyCostAMoment(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.change = func(c *Config) { c.SessionTimeout = 20 * time.Second }
	s := l.silenced()
	l.up()
	l.put("in", 0, "X", "r0")
	l.expect("X", "1:r0")
	l.settled()
	s.dieBehindAProxy()
	l.until("it is unready", func() bool { return l.worker.Ready() != nil })
	l.until("all clients have met the proxy", func() bool { return s.turnedAway() > 100 })
	s.come()
	l.put("in", 0, "X", "r1")
	l.expect("X", "1:r0", "2:r1")
	l.until("it is ready", func() bool { return l.worker.Ready() == nil })
}
