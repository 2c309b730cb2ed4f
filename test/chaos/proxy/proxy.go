// Package proxy stands between clients and a server on TCP, and takes the network away on request.
package proxy

import (
	"fmt"
	"net"
	"sync"
)

// Weather is what the network does.
type Weather int

// The weathers of a proxy.
const (
	// Fair passes bytes on.
	Fair Weather = iota
	// Refusing breaks every connection, and each new one at once: what is under way is lost.
	Refusing
	// Vanishing lets bytes wait, as packets that are lost are sent again: when it is fair again, they arrive. New
	// connections are taken and wait too.
	Vanishing
)

// Proxy passes connections on to one server.
type Proxy struct {
	listener net.Listener
	target   string
	ended    sync.WaitGroup

	mu      sync.Mutex
	weather Weather
	changed chan struct{} // closed and replaced at every change of the weather
	conns   map[net.Conn]bool
	closed  bool
}

// Listen starts a proxy to target on a free port of this machine.
func Listen(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for clients of %s: %w", target, err)
	}
	p := &Proxy{listener: listener, target: target, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.ended.Go(p.accept)
	return p, nil
}

// Addr is where clients connect, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Turn changes the weather. Refusing breaks the connections that are open.
func (p *Proxy) Turn(w Weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	if w == Refusing {
		p.breakAll()
	}
}

// Break breaks the connections that are open, once.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakAll()
}

// breakAll is called with mu held.
func (p *Proxy) breakAll() {
	for c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset, as from a machine that went away
		c.Close()
	}
	clear(p.conns)
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.listener.Close()
	p.breakAll()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.ended.Wait()
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		if p.keep(conn) {
			p.ended.Go(func() { p.serve(conn) })
		}
	}
}

// keep remembers an open connection; it closes one that must not be.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.weather == Refusing {
		conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
		c.Close()
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.await(client) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.(*net.TCPConn).SetLinger(0) // a reset is the nearest to a refusal; an orderly end is what a wrong listener does
		return
	}
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	back := make(chan struct{})
	go func() {
		defer close(back)
		p.pass(client, server)
	}()
	p.pass(server, client)
	p.drop(client, server)
	<-back
}

// pass copies bytes until one side ends, and then ends the other.
func (p *Proxy) pass(to, from net.Conn) {
	defer p.drop(to, from)
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 && p.await(from) {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// await waits until bytes of a connection may pass; it is false when the connection is broken.
func (p *Proxy) await(conn net.Conn) bool {
	for {
		p.mu.Lock()
		alive, weather, changed := p.conns[conn] && !p.closed, p.weather, p.changed
		p.mu.Unlock()
		if !alive || weather != Vanishing {
			return alive
		}
		<-changed
	}
}
