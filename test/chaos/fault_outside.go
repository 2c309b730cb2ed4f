package main

import (
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/chaos/proxy"
	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

func functionKill(h *hazard) {
	f := h.run.functions
	h.run.functionMu.Lock()
	defer h.run.functionMu.Unlock()
	f.process.kill()
	h.pause(0, 4*time.Second)
	h.run.check(f.start())
}

func functionSlow(h *hazard)  { h.mood(moodSlow, 2*time.Second, 7*time.Second) }
func functionHang(h *hazard)  { h.mood(moodHang, time.Second, 6*time.Second) }
func functionTwice(h *hazard) { h.mood(moodTwice, 3*time.Second, 10*time.Second) }

// mood changes how the functions answer, for a while. One fault at a time has the function process.
func (h *hazard) mood(mood string, from, to time.Duration) {
	h.run.functionMu.Lock()
	defer h.run.functionMu.Unlock()
	h.run.check(h.run.functions.feel(h.ctx, mood))
	h.pause(from, to)
	h.run.check(h.run.functions.feel(h.ctx, moodWell))
}

func brokerKill(h *hazard)    { h.restartBroker((*realkafka.Broker).Kill) }
func brokerRestart(h *hazard) { h.restartBroker((*realkafka.Broker).End) }

func (h *hazard) restartBroker(end func(*realkafka.Broker) error) {
	h.run.cluster.away.Lock()
	defer h.run.cluster.away.Unlock()
	began, id := time.Now(), h.anyBroker()
	h.run.check(h.run.cluster.without(h.ctx, id, end, func() { h.pause(0, 2*time.Second) }))
	h.note("broker %d answers again after %v", id, time.Since(began).Round(time.Millisecond))
}

func (h *hazard) anyBroker() int32 { return 1 + h.random.Int32N(int32(h.run.cluster.kind.brokers)) }

// weather is how the network fails.
func (h *hazard) weather() (proxy.Weather, string) {
	if h.random.IntN(2) == 0 {
		return proxy.Refusing, "refusing"
	}
	return proxy.Vanishing, "vanishing"
}

func netDown(h *hazard) {
	w, name := h.weather()
	d := h.between(2*time.Second, 12*time.Second)
	if h.random.IntN(4) == 0 {
		d = 30 * time.Second
	}
	h.note("%s for %v", name, d.Round(time.Millisecond))
	defer h.run.cluster.disturb()()
	h.run.cluster.turn(w)
	process.Pause(h.ctx, d)
	h.run.cluster.turn(proxy.Fair)
}

func netCut(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		defer h.run.cluster.disturb()()
		w, name := h.weather()
		d := sessionTimeout + h.between(0, 6*time.Second)
		h.note("%s %s for %v", s.name, name, d.Round(time.Millisecond))
		for i, door := range h.run.cluster.doors {
			if f.slots[i] == s {
				door.turn(w)
				process.Pause(h.ctx, d)
				door.turn(proxy.Fair)
			}
		}
	})
}

func netBreak(h *hazard) {
	defer h.run.cluster.disturb()()
	n := 3 + h.random.IntN(8)
	h.note("%d times", n)
	for range n {
		for _, door := range h.run.cluster.doors {
			door.breakAll()
		}
		h.pause(20*time.Millisecond, 800*time.Millisecond)
	}
}
