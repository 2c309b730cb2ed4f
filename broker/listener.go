package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// advertised is a listener that reports another address than its own: kfake puts what Addr says into its metadata, and so
// every client comes back to it.
type advertised struct {
	net.Listener
	address hostPort
}

// Addr is the address that clients are told.
func (a advertised) Addr() net.Addr { return a.address }

type hostPort string

// Network is always TCP.
func (hostPort) Network() string { return "tcp" }

// String is host:port, where host may be a name.
func (h hostPort) String() string { return string(h) }

func listen(network, addr, advertise string) (net.Listener, error) {
	ln, err := net.Listen(network, addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another program listens there; choose another port, or 0 for a free one", err)
	}
	if err != nil || advertise == "" {
		return ln, err
	}
	host, port, err := splitAddr(advertise)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	if port == 0 {
		port = ln.Addr().(*net.TCPAddr).Port
	}
	return advertised{ln, hostPort(net.JoinHostPort(host, strconv.Itoa(port)))}, nil
}

// clusterLog hands kfake's errors and warnings on; below that it writes several lines a request.
type clusterLog struct{ logger *slog.Logger }

// Logf implements kfake.Logger.
func (l clusterLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.logger.Error("development broker", "message", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.logger.Warn("development broker", "message", fmt.Sprintf(format, args...))
	}
}
