package kafka

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Unreachable tells an error that passes once the brokers are there, or have recovered, from one that somebody has
// to mend.
func Unreachable(err error) bool {
	var network net.Error
	var broker *kerr.Error
	switch {
	case err == nil:
		return false
	case errors.As(err, &broker):
		return broker.Retriable
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return true
	}
	return false
}
