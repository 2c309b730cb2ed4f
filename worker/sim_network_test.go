package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// network is a process' way to the brokers. It can be cut for good, as by kill -9, can stand still, as for a process
// that is stopped, and can lose the answer to the next EndTxn: the request was written, the connection breaks.
type network struct {
	mu      sync.Mutex
	gone    bool
	frozen  chan struct{} // closed when it thaws; nil: it is not frozen
	key     int16         // with reached: a request of this kind freezes it
	after   bool          // once it is written, and its answer stands still
	reached chan struct{} // closed then
	conns   map[net.Conn]bool
	loseEnd atomic.Bool
	where   func(host string) bool // with reached: only such a connection; nil: any
	away    func(host string) bool // hosts that nothing reaches for now; nil: there are none
}

// errCut is what a connection gives that is broken, as the kernel's does.
var errCut error = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("the network is cut")}

func (n *network) dial(ctx context.Context, kind, host string) (net.Conn, error) {
	if err := n.pass(ctx.Done()); err != nil {
		return nil, err
	}
	if n.away != nil && n.away(host) {
		return nil, errCut
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, kind, host)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && n.gone {
		conn.Close()
		err = errCut
	}
	if err != nil {
		return nil, err
	}
	if n.conns == nil {
		n.conns = map[net.Conn]bool{}
	}
	c := &slowConn{Conn: conn, host: host, network: n, closed: make(chan struct{})}
	n.conns[c] = true
	return c, nil
}

// freeze lets nothing through in either direction, and no dial come back, until thaw. What was under way comes then,
// as the kernel keeps it for a process that is stopped.
func (n *network) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

// freezeBefore freezes the network when the next request of a kind is about to be written. reached is closed then.
func (n *network) freezeBefore(key kmsg.Key) (reached chan struct{}) {
	return n.freezeAt(key, false, nil)
}

// freezeAfter is freezeBefore, but the broker gets the request.
func (n *network) freezeAfter(key kmsg.Key) (reached chan struct{}) {
	return n.freezeAt(key, true, nil)
}

func (n *network) freezeAt(key kmsg.Key, after bool, where func(host string) bool) (reached chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.key, n.after, n.where, n.reached = int16(key), after, where, make(chan struct{})
	return n.reached
}

// forget takes a freeze back that has not come.
func (n *network) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reached = nil
}

// meet freezes when that is the request that was waited for: a request begins with its size and its kind.
func (n *network) meet(host string, request []byte, after bool) {
	n.mu.Lock()
	is := n.reached != nil && n.after == after && len(request) > 6 && int16(binary.BigEndian.Uint16(request[4:])) == n.key
	is = is && (n.where == nil || n.where(host))
	reached := n.reached
	if is {
		n.reached = nil
	}
	n.mu.Unlock()
	if is {
		n.freeze()
		close(reached)
	}
}

func (n *network) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
}

// pass waits while the network is frozen, or until given up.
func (n *network) pass(givenUp <-chan struct{}) error {
	for {
		n.mu.Lock()
		frozen, gone := n.frozen, n.gone
		n.mu.Unlock()
		if frozen == nil || gone {
			return nil
		}
		select {
		case <-frozen:
		case <-givenUp:
			return errCut
		}
	}
}

// slowConn is a connection that stands still with its network.
type slowConn struct {
	net.Conn
	host    string
	network *network
	once    sync.Once
	closed  chan struct{}
}

func (c *slowConn) Read(b []byte) (int, error) {
	size, err := c.Conn.Read(b)
	if fault := c.network.pass(c.closed); fault != nil {
		return 0, fault
	}
	return size, err
}

func (c *slowConn) Write(b []byte) (int, error) {
	c.network.meet(c.host, b, false)
	if err := c.network.pass(c.closed); err != nil {
		return 0, err
	}
	c.network.meet(c.host, b, true) // the answer must not be quicker
	return c.Conn.Write(b)
}

func (c *slowConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// cut comes before what is frozen thaws, or a last request of a killed process would get through.
func (n *network) cut() {
	n.mu.Lock()
	n.gone = true
	n.closeAll()
	n.mu.Unlock()
	n.thaw()
}

// breakAll breaks every connection; new ones can be made.
func (n *network) breakAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closeAll()
}

func (n *network) closeAll() {
	for c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

// breakTo breaks the connections to some hosts.
func (n *network) breakTo(where func(host string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if where(c.(*slowConn).host) {
			c.Close()
			delete(n.conns, c)
		}
	}
}

func (n *network) heal() { n.loseEnd.Store(false) }

// OnBrokerWrite is kgo's hook.
func (n *network) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.EndTxn) && n.loseEnd.CompareAndSwap(true, false) {
		n.breakAll()
	}
}
