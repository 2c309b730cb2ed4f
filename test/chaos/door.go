package main

import (
	"fmt"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/test/chaos/proxy"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// door is one worker's way to the brokers: a proxy before each of them, in the order of their ids.
type door []*proxy.Proxy

// newDoor starts the proxies of a worker to brokers that are not started yet, and gives each broker the listener that it
// needs for that.
func newDoor(number int, brokers []realkafka.Options) (d door, err error) {
	for i := range brokers {
		port, err := realkafka.FreePort()
		if err != nil {
			return d, err
		}
		p, err := proxy.Listen(fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return d, err
		}
		d = append(d, p)
		brokers[i].Listeners = append(brokers[i].Listeners,
			realkafka.Listener{Name: fmt.Sprintf("DOOR%d", number), Port: port, Advertised: p.Addr()})
	}
	return d, nil
}

// addr is the addresses of all brokers for this worker, with commas.
func (d door) addr() string {
	var all []string
	for _, p := range d {
		all = append(all, p.Addr())
	}
	return strings.Join(all, ",")
}

// turn changes the weather on the way to all brokers.
func (d door) turn(w proxy.Weather) {
	for _, p := range d {
		p.Turn(w)
	}
}

// breakAll breaks all connections of the worker, once.
func (d door) breakAll() {
	for _, p := range d {
		p.Break()
	}
}

func (d door) close() {
	for _, p := range d {
		p.Close()
	}
}
