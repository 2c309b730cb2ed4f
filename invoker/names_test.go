package invoker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// zone is what a test's resolver knows, and the servers behind the addresses.
type zone struct {
	mu      sync.Mutex
	found   []string
	servers map[string]string // address as the resolver gives it → where a server listens; "": it hangs, absent: refused
	reached []string
}

func (z *zone) set(found ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.found = found
}

func (z *zone) lookup(_ context.Context, host string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if host != "fn.test" {
		return nil, fmt.Errorf("no such host as %s", host)
	}
	return slices.Clone(z.found), nil
}

func (z *zone) reach(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	z.mu.Lock()
	z.reached = append(z.reached, host)
	at, is := z.servers[host]
	z.mu.Unlock()
	switch {
	case !is:
		return nil, errors.New("connection refused")
	case at == "":
		<-ctx.Done()
		return nil, ctx.Err()
	case at == "pipe":
		near, _ := net.Pipe()
		return near, nil
	}
	return (&net.Dialer{}).DialContext(ctx, network, at)
}

func (z *zone) names() *names {
	return &names{lookup: z.lookup, reach: z.reach, avoided: map[string]time.Time{}}
}

var fnTest = destination{network: "tcp", address: "fn.test:80"}

// named serves under a name in the test's zone.
func named(t *testing.T, z *zone, address string) *rawServer {
	s := serveRaw(t, "tcp", each(ok(address)))
	if z.servers == nil {
		z.servers = map[string]string{}
	}
	z.servers[address] = s.Addr().String()
	return s
}

func TestNewConnectionsAreSpreadOverTheAddressesOfAName(t *testing.T) {
	z := &zone{servers: map[string]string{}}
	var servers []*rawServer
	for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		servers = append(servers, named(t, z, a))
	}
	z.set("10.0.0.1", "10.0.0.2", "10.0.0.3")
	n := z.names()
	for range 30 {
		c, err := n.dial(t.Context(), fnTest)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	var got []int64
	until(t, "all connections are seen", func() {
		for got = nil; len(got) == 0 || got[0]+got[1]+got[2] < 30; {
			got = []int64{servers[0].conns.Load(), servers[1].conns.Load(), servers[2].conns.Load()}
		}
	})
	if got[0] != 10 || got[1] != 10 || got[2] != 10 {
		t.Errorf("connections are spread as %v", got)
	}
}

// The name moves on to another address. What is open is used to its end; what is new goes to the new place. The old
// server gets no call any more once its connections have had their time, busy or not.
func TestANameThatMovesTakesItsConnectionsAlong(t *testing.T) {
	z := &zone{}
	named(t, z, "10.0.0.1")
	named(t, z, "10.0.0.2")
	z.set("10.0.0.1")
	c := newCaller(t, "http://fn.test/statefun", okhttp())
	if c.rules.maxAge != connectionLife {
		t.Errorf("okhttp's connections live for %v", c.rules.maxAge)
	}
	c.rules.maxAge = 50 * time.Millisecond // and one to three seconds, by which connections are spread
	c.names = z.names()
	call(t, c, "10.0.0.1")
	z.set("10.0.0.2")
	call(t, c, "10.0.0.1") // over the connection that is open
	until(t, "the calls go to the new address", func() {
		for {
			got, err := c.Call(t.Context(), anybody, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if string(got) == "10.0.0.2" {
				return
			}
		}
	})
}

func TestAnAddressThatIsGoneIsPassedOver(t *testing.T) {
	z := &zone{servers: map[string]string{"10.0.0.2": "pipe"}}
	z.set("10.0.0.1", "10.0.0.2")
	n := z.names()
	for range 10 {
		if _, err := n.dial(t.Context(), fnTest); err != nil {
			t.Fatal(err)
		}
	}
	if tries := strings.Count(strings.Join(z.reached, " "), "10.0.0.1"); tries != 1 {
		t.Errorf("%d of 10 connections tried the address that is gone, want the first one", tries)
	}
}

func TestAnAddressThatHangsCostsOneShortWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{servers: map[string]string{"10.0.0.1": "", "10.0.0.2": "pipe"}}
		z.set("10.0.0.1", "10.0.0.2")
		n := z.names()
		n.turn.Store(1) // the next connection begins with the first address
		began := time.Now()
		for i := range 10 {
			if _, err := n.dial(t.Context(), fnTest); err != nil {
				t.Fatal(err)
			}
			if i == 0 && time.Since(began) != nextAddressAfter {
				t.Errorf("the first connection took %v", time.Since(began))
			}
		}
		if took := time.Since(began); took != nextAddressAfter {
			t.Errorf("ten connections took %v", took)
		}
		time.Sleep(avoidFor)
		n.turn.Store(1)
		began = time.Now()
		if _, _ = n.dial(t.Context(), fnTest); time.Since(began) != nextAddressAfter {
			t.Error("an address is avoided for ever")
		}
	})
}

func TestTheOtherFamilyIsTheLastResort(t *testing.T) {
	n := (&zone{}).names()
	for range 4 {
		got := n.order([]string{"10.0.0.1", "::1", "10.0.0.2"}, time.Now())
		if got[2] != "::1" {
			t.Errorf("order %v", got)
		}
	}
}

func TestNamesThatCannotBeReachedAreErrors(t *testing.T) {
	z := &zone{}
	for host, want := range map[string]string{"fn.test": "it has no address", "other.test": "look up other.test: no such host"} {
		_, err := z.names().dial(t.Context(), destination{network: "tcp", address: host + ":80"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", host, err)
		}
	}
	z.set("10.0.0.1", "10.0.0.2")
	if _, err := z.names().dial(t.Context(), fnTest); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
