package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers every byte with itself.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(conn, conn); conn.Close() }()
		}
	}()
	return listener.Addr().String()
}

func start(t *testing.T) *Proxy {
	t.Helper()
	p, err := Listen(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a byte and waits for it to come back, at most for the limit.
func ask(conn net.Conn, limit time.Duration) error {
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

const soon, patience = 50 * time.Millisecond, 5 * time.Second

func TestFairWeatherPassesBytes(t *testing.T) {
	if err := ask(dial(t, start(t)), patience); err != nil {
		t.Fatal(err)
	}
}

func TestRefusingBreaksOpenConnectionsAndNewOnes(t *testing.T) {
	p := start(t)
	open := dial(t, p)
	if err := ask(open, patience); err != nil {
		t.Fatal(err)
	}
	p.Turn(Refusing)
	for name, conn := range map[string]net.Conn{"open": open, "new": dial(t, p)} {
		if err := ask(conn, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s connection: %v", name, err)
		}
	}
	p.Turn(Fair)
	if err := ask(dial(t, p), patience); err != nil {
		t.Errorf("in fair weather again: %v", err)
	}
}

func TestVanishedBytesArriveInFairWeather(t *testing.T) {
	p := start(t)
	open := dial(t, p)
	if err := ask(open, patience); err != nil {
		t.Fatal(err)
	}
	p.Turn(Vanishing)
	conns := map[string]net.Conn{"open": open, "new": dial(t, p)}
	for name, conn := range conns {
		if err := ask(conn, soon); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s connection: %v", name, err)
		}
	}
	p.Turn(Fair)
	for name, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Errorf("the %s connection after it: %v", name, err)
		}
	}
}

func TestBreakEndsWhatIsOpenOnly(t *testing.T) {
	p := start(t)
	open := dial(t, p)
	if err := ask(open, patience); err != nil {
		t.Fatal(err)
	}
	p.Break()
	if err := ask(open, patience); err == nil {
		t.Error("the connection is still open")
	}
	if err := ask(dial(t, p), patience); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	p, err := Listen(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Turn(Vanishing)
	conn := dial(t, p)
	_, _ = conn.Write([]byte{1})
	p.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

func TestAServerThatIsGoneResetsTheConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	p, err := Listen(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil { // the reset may come before
		t.Cleanup(func() { conn.Close() })
		err = ask(conn, patience)
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a connection to a server that is gone: %v", err)
	}
}
