package worker

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// silence is a process' way to brokers that stop answering: what it sends is lost, nothing comes back, and a connection is
// not refused but never made. The process itself runs on, unlike one whose network is frozen.
type silence struct {
	t      *testing.T
	change func(*Config) // of the lab's processes without it
	next   func(ctx context.Context, kind, host string) (net.Conn, error)

	mu      sync.Mutex
	silent  bool
	turned  int           // away by the proxy
	proxied bool          // a proxy is in front of brokers that are dead: it takes connections and closes them
	key     int16         // with reached: the next request of this kind is the last one
	after   bool          // and gets through
	reached chan struct{} // closed then
	conns   []net.Conn
}

// silenced gives the next process of a lab brokers that can fall silent.
func (l *lab) silenced() *silence {
	s := &silence{t: l.t, change: l.change}
	l.change = func(c *Config) {
		s.change(c)
		s.next = networkOf(c.ClientOptions)
		c.ClientOptions = append(slices.Clone(c.ClientOptions), kgo.Dialer(s.dial))
	}
	return s
}

// turnedAway is how many connections the proxy has closed.
func (s *silence) turnedAway() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turned
}

// come lets the proxy have its brokers again.
func (s *silence) come() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxied = false
}

// over gives the next process of the lab brokers that answer.
func (s *silence) over(l *lab) { l.change = s.change }

// before makes the brokers fall silent when the next request of a kind is on its way, behind once they have it. The channel
// is closed then.
func (s *silence) before(key kmsg.Key) <-chan struct{} { return s.at(key, false) }

func (s *silence) behind(key kmsg.Key) <-chan struct{} { return s.at(key, true) }

func (s *silence) at(key kmsg.Key, after bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.after, s.reached = int16(key), after, make(chan struct{})
	return s.reached
}

func (s *silence) fall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
}

// die is the end of all brokers: their hosts close what is open and refuse what comes.
func (s *silence) die(n *network) {
	n.cut()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = false
	for _, c := range s.conns {
		c.Close()
	}
}

// dieBehindAProxy is the end of all brokers whose addresses are those of a proxy.
func (s *silence) dieBehindAProxy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxied = true
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *silence) dial(ctx context.Context, kind, host string) (net.Conn, error) {
	s.mu.Lock()
	silent, proxied := s.silent, s.proxied
	s.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	broker, err := s.next(ctx, kind, host)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns = append(s.conns, far)
	if proxied {
		s.turned++
	}
	s.mu.Unlock()
	s.t.Cleanup(func() { far.Close(); broker.Close() })
	if proxied {
		far.Close()
		return near, nil
	}
	go s.pump(far, broker, true)
	go s.pump(broker, far, false)
	return near, nil
}

// pump carries what one side says to the other, or swallows it.
func (s *silence) pump(from, to net.Conn, requests bool) {
	buffer := make([]byte, 1<<20)
	for {
		n, err := from.Read(buffer)
		if n > 0 && s.passes(buffer[:n], requests) {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				return
			}
		}
		if err == nil {
			continue
		}
		s.mu.Lock()
		silent := s.silent
		s.mu.Unlock()
		if !silent {
			to.Close()
		}
		return
	}
}

// passes tells whether bytes get through. A request begins with its size and its kind.
func (s *silence) passes(b []byte, request bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !request || s.reached == nil || len(b) <= 6 || int16(binary.BigEndian.Uint16(b[4:])) != s.key {
		return !s.silent
	}
	close(s.reached)
	s.reached, s.silent = nil, true
	return s.after
}
