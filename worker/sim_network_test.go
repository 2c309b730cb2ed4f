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
}

// errCut is what a connection gives that is broken, as the kernel's does.
var errCut error = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("the network is cut")}

func (n *network) dial(ctx context.Context, kind, host string) (net.Conn, error) {
	if err := n.pass(ctx.Done()); err != nil {
		return nil, err
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
	c := &slowConn{Conn: conn, network: n, closed: make(chan struct{})}
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
	return n.freezeAt(key, false)
}

// freezeAfter is freezeBefore, but the broker gets the request.
func (n *network) freezeAfter(key kmsg.Key) (reached chan struct{}) {
	return n.freezeAt(key, true)
}

func (n *network) freezeAt(key kmsg.Key, after bool) (reached chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.key, n.after, n.reached = int16(key), after, make(chan struct{})
	return n.reached
}

// meet freezes when that is the request that was waited for: a request begins with its size and its kind.
func (n *network) meet(request []byte, after bool) {
	n.mu.Lock()
	is := n.reached != nil && n.after == after && len(request) > 6 && int16(binary.BigEndian.Uint16(request[4:])) == n.key
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
	c.network.meet(b, false)
	if err := c.network.pass(c.closed); err != nil {
		return 0, err
	}
	c.network.meet(b, true) // the answer must not be quicker
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

func (n *network) heal() { n.loseEnd.Store(false) }

// OnBrokerWrite is kgo's hook.
func (n *network) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.EndTxn) && n.loseEnd.CompareAndSwap(true, false) {
		n.breakAll()
	}
}
