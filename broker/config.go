package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"time"
)

const (
	// defaultPartitions of a topic whose count nobody gave: enough to show work spread over partitions, few enough to read in a listing.
	defaultPartitions = 4

	// defaultRetention is how long a topic without a retention of its own keeps records. Everything is in memory, so the week
	// that a real broker would keep is too long for a process that runs through several days of development.
	defaultRetention = 24 * time.Hour

	// retentionPeriod is how often old records are dropped.
	retentionPeriod = time.Minute

	// minSessionTimeout lets a test or a developer see a crashed member leave its group in well under a second; Kafka's own
	// lower bound is 6 s.
	minSessionTimeout = 100 * time.Millisecond
)

// topicName is Kafka's rule, which kfake does not check.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Topic is a topic that the broker has from its first moment on.
type Topic struct {
	Name       string
	Partitions int32
	// Configs are topic settings under their Kafka names.
	Configs map[string]string
}

// Config says where the broker listens and what it keeps.
type Config struct {
	// Addr is the host:port to listen on; empty is a free port on loopback, port 0 a free port of that host.
	Addr string
	// Advertise is the host:port that clients are told to connect to, with port 0 for the port listened on. Empty is the
	// listening address, which no client can use when it is that of every interface (0.0.0.0): then it must be given.
	Advertise string
	// DataDir keeps the log in a folder across clean stops. It is not durable: kill -9 may leave the last transaction half
	// committed, a power loss may lose more. Empty keeps everything in memory.
	DataDir string
	// AutoCreate creates a topic when a client that allows it asks for one that does not exist.
	AutoCreate bool
	// DefaultPartitions is for topics created without a count; 0 is 4.
	DefaultPartitions int
	// Retention is for topics created without one; 0 is a day.
	Retention time.Duration
	// KafkaVersion, like "3.9", makes the broker offer only what that release of Kafka had, for trying how a client copes with
	// it (releases before 4.0 have the first transaction protocol). Empty is the newest.
	KafkaVersion string
	// Topics exist from the start. A topic that the data folder holds already stays as it is.
	Topics []Topic
	// Logger gets the start, the address and the broker's warnings; nil is silence.
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.DefaultPartitions == 0 {
		c.DefaultPartitions = defaultPartitions
	}
	if c.Retention == 0 {
		c.Retention = defaultRetention
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// validate names every fault at once, before anything is opened.
func (c *Config) validate() error {
	var faults []error
	host, _, err := splitAddr(c.Addr)
	switch {
	case err != nil:
		faults = append(faults, fmt.Errorf("listening address %q: %w", c.Addr, err))
	case isEveryInterface(host) && c.Advertise == "":
		faults = append(faults, fmt.Errorf("listening address %q is every interface, which clients cannot connect to: give the address to advertise to them", c.Addr))
	}
	if c.Advertise != "" {
		if host, _, err := splitAddr(c.Advertise); err != nil {
			faults = append(faults, fmt.Errorf("advertised address %q: %w", c.Advertise, err))
		} else if isEveryInterface(host) {
			faults = append(faults, fmt.Errorf("advertised address %q is every interface, which clients cannot connect to", c.Advertise))
		}
	}
	if c.DefaultPartitions < 1 {
		faults = append(faults, fmt.Errorf("default partition count %d is less than 1", c.DefaultPartitions))
	}
	seen := make(map[string]bool)
	for _, t := range c.Topics {
		if !topicName.MatchString(t.Name) || t.Name == "." || t.Name == ".." {
			faults = append(faults, fmt.Errorf("topic name %q: give 1 to 249 letters, digits, dots, dashes or underscores", t.Name))
		}
		if t.Partitions < 1 {
			faults = append(faults, fmt.Errorf("topic %q with %d partitions: give at least one", t.Name, t.Partitions))
		}
		if seen[t.Name] {
			faults = append(faults, fmt.Errorf("topic %q is given twice", t.Name))
		}
		seen[t.Name] = true
	}
	return errors.Join(faults...)
}

func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, errors.New("not of the form host:port")
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", text)
	}
	return host, port, nil
}

func isEveryInterface(host string) bool {
	if host == "" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
