package invoker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// nextAddressAfter is when the next address of a name is tried beside one that has not answered yet.
	nextAddressAfter = 300 * time.Millisecond
	// avoidFor is how long an address that could not be reached is tried after the others.
	avoidFor = 30 * time.Second
	// maxAvoided bounds the addresses that are remembered for that.
	maxAvoided = 1024
)

// names connect to names. Each connection looks its name up anew, so that an endpoint may move, and begins with
// another of its addresses, so that an endpoint that grows gets its share of the new connections.
type names struct {
	lookup func(ctx context.Context, host string) ([]string, error)
	reach  func(ctx context.Context, network, address string) (net.Conn, error)
	turn   atomic.Uint32

	mu      sync.Mutex
	avoided map[string]time.Time // addresses, until when
}

func newNames() *names {
	return &names{lookup: net.DefaultResolver.LookupHost, reach: (&net.Dialer{}).DialContext, avoided: map[string]time.Time{}}
}

// dial connects to a destination.
func (n *names) dial(ctx context.Context, d destination) (net.Conn, error) {
	host, port, err := net.SplitHostPort(d.address)
	if d.network != "tcp" || err != nil || isIP(host) {
		return n.reach(ctx, d.network, d.address)
	}
	found, err := n.lookup(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("look up %s: it has no address", host)
	}
	addresses := n.order(found, time.Now())
	for i := range addresses {
		addresses[i] = net.JoinHostPort(addresses[i], port)
	}
	if len(addresses) == 1 {
		return n.reach(ctx, d.network, addresses[0])
	}
	return n.race(ctx, d.network, addresses)
}

// isIP also knows IPv6 addresses with a zone.
func isIP(host string) bool {
	address, _, _ := strings.Cut(host, "%")
	return net.ParseIP(address) != nil
}

// order puts the addresses of a name in the order in which they are tried: those of the family that the resolver
// prefers first, each connection beginning with another one, and at the end those that could not be reached of late.
func (n *names) order(found []string, now time.Time) []string {
	v4 := func(a string) bool { return !strings.Contains(a, ":") }
	preferred := make([]string, 0, len(found))
	var rest []string
	for _, a := range found {
		if v4(a) == v4(found[0]) {
			preferred = append(preferred, a)
		} else {
			rest = append(rest, a)
		}
	}
	at := int(n.turn.Add(1)) % len(preferred)
	all := slices.Concat(preferred[at:], preferred[:at], rest)
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortStableFunc(all, func(a, b string) int {
		switch x, y := now.Before(n.avoided[a]), now.Before(n.avoided[b]); {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	return all
}

// attempt is one address of a name that is tried.
type attempt struct {
	address string
	conn    net.Conn
	err     error
}

// race tries the addresses in their order, each a little after the one before or as soon as that has failed. The first
// connection wins.
func (n *names) race(ctx context.Context, network string, addresses []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, won := make(chan attempt), make(chan struct{})
	defer close(won)
	var first error
	open := map[string]bool{}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		var r attempt
		select {
		case <-wait.C:
			if len(addresses) > 0 {
				open[addresses[0]] = true
				go n.try(ctx, network, addresses[0], results, won)
				addresses = addresses[1:]
				wait.Reset(nextAddressAfter)
			}
			continue
		case r = <-results:
		}
		delete(open, r.address)
		n.reached(r.address, r.err == nil)
		if r.err == nil {
			for slow := range open {
				n.reached(slow, false)
			}
			return r.conn, nil
		}
		if first == nil {
			first = r.err
		}
		if len(open) == 0 && len(addresses) == 0 {
			return nil, first
		}
		wait.Reset(0)
	}
}

// try connects to one address. A connection that comes after another has won is closed.
func (n *names) try(ctx context.Context, network, address string, results chan<- attempt, won <-chan struct{}) {
	conn, err := n.reach(ctx, network, address)
	select {
	case results <- attempt{address, conn, err}:
	case <-won:
		if conn != nil {
			conn.Close()
		}
	}
}

// reached remembers whether an address could be reached in time.
func (n *names) reached(address string, inTime bool) {
	host, _, _ := net.SplitHostPort(address)
	n.mu.Lock()
	defer n.mu.Unlock()
	if inTime {
		delete(n.avoided, host)
		return
	}
	if len(n.avoided) >= maxAvoided { // they are of names that have moved on
		clear(n.avoided)
	}
	n.avoided[host] = time.Now().Add(avoidFor)
}
