package statefun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"
)

// DefaultGrace is how long the calls that run may go on, unless told otherwise, when Serve is to end.
const DefaultGrace = 10 * time.Second

// headerTimeout bounds how long a client may take to say what it wants. A runtime does that at once.
const headerTimeout = 10 * time.Second

// Serve serves functions over HTTP at a TCP address, under every path, until ctx ends; the calls that run then are let to their
// end. Standard error gets a line with the address, and one for each call that fails. It is the whole of a program that does nothing
// else; one with a server, a listener or a log of its own makes a [Handler].
func Serve(ctx context.Context, addr string, functions ...Function) error {
	h, err := NewHandler(functions...)
	if err != nil {
		return err
	}
	h.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("serve functions: %w", err)
	}
	return h.Serve(ctx, l)
}

// Serve serves the functions over HTTP on a listener, TCP or unix socket, under every path, until ctx ends. It takes no call
// from then on, and returns nil when those that run have ended; what still runs after Grace is cut off, which
// is an error. The runtime repeats what was cut off. Serve closes the listener.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error {
	h.logger().Info("functions are served", "listening", l.Addr().String(), "functions", h.types())
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(h.logger().Handler(), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		_ = server.Close() // connections that are open would be served on
		return fmt.Errorf("serve functions on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.grace())
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop serving functions: calls still run after %s and are cut off: %w", h.grace(), err), server.Close())
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (h *Handler) grace() time.Duration {
	if h.Grace <= 0 {
		return DefaultGrace
	}
	return h.Grace
}

// types are the types of the functions, in order.
func (h *Handler) types() []TypeName {
	var types []TypeName
	for _, b := range h.functions {
		types = append(types, b.Type)
	}
	slices.Sort(types)
	return types
}
