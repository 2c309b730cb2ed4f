package realkafka

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePort finds a port below the range from which the system gives ports to outgoing connections: a port from
// that range could be taken while the broker is down, and Restart needs the same one.
func FreePort() (int, error) {
	const first, last, attempts = 20000, 32000, 100
	var err error
	for range attempts {
		port := first + rand.IntN(last-first)
		if err = portIsFree(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port in %d attempts: %w", attempts, err)
}

func portIsFree(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("try port %d: %w", port, err)
	}
	return l.Close()
}
