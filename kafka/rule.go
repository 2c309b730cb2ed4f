package kafka

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// A side says which of the Java clients has a property.
type side uint8

const (
	reading side = 1 << iota
	writing
	// security properties hold for the cluster, so for every client of it, wherever they are given.
	security
	both = reading | writing
)

// A rule says what becomes of one property.
type rule struct {
	side side
	// use takes the value in or checks it; nil: the value is not looked at here.
	use func(*draft, module.Property) error
	// ignored is why the property has no effect; empty: it has one, or the module has told already.
	ignored string
}

func ignored(s side, why string) rule { return rule{side: s, ignored: why} }

// milliseconds maps a time in milliseconds.
func milliseconds(s side, least, most time.Duration, opts func(time.Duration) []kgo.Opt) rule {
	return rule{side: s, use: func(d *draft, p module.Property) error {
		v, err := number(p, least.Milliseconds(), most.Milliseconds())
		if err != nil {
			return err
		}
		d.opts = append(d.opts, opts(time.Duration(v)*time.Millisecond)...)
		return nil
	}}
}

// size maps a number of bytes.
func size(s side, least, most int64, opts func(int32) []kgo.Opt) rule {
	return rule{side: s, use: func(d *draft, p module.Property) error {
		v, err := number(p, least, most)
		if err != nil {
			return err
		}
		d.opts = append(d.opts, opts(int32(v))...)
		return nil
	}}
}

// must checks a property whose only useful values are given; why is for the others.
func must(s side, why string, values ...string) rule {
	return rule{side: s, use: func(_ *draft, p module.Property) error {
		if slices.Contains(values, strings.ToLower(strings.TrimSpace(p.Value))) {
			return nil
		}
		return fmt.Errorf("must be %s, not %q: %s", values[0], p.Value, why)
	}}
}

// fixed tells that a property keeps one value, unless that is what is given.
func fixed(s side, value, why string, others ...string) rule {
	return rule{side: s, use: func(d *draft, p module.Property) error {
		v := strings.ToLower(strings.TrimSpace(p.Value))
		if v == value {
			return nil
		}
		if !slices.Contains(others, v) {
			return fmt.Errorf("%q is unknown: use %s", p.Value, value)
		}
		d.warn(p, fmt.Sprintf("property %s stays %s: %s", p.Key, value, why))
		return nil
	}}
}

func number(p module.Property, least, most int64) (int64, error) {
	v, err := strconv.ParseInt(strings.TrimSpace(p.Value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", p.Value)
	}
	if v < least || v > most {
		return 0, fmt.Errorf("%d is out of range: %d to %d", v, least, most)
	}
	return v, nil
}

// What the Go client takes. A larger answer or request than its 100 MiB must be allowed to it.
const (
	longestWire  = math.MaxInt32 * time.Millisecond
	largestBatch = 1 << 30
	clientFrame  = 100 << 20
)

// leaderLook is how long a client that has asked who leads what waits before it asks again. The Go client's own 5 s would
// hold up a transaction for as long when a leader has just moved, or a topic was just made.
const leaderLook = 250 * time.Millisecond

// fetchWait is how long a broker holds a fetch that finds nothing; it is the Java client's. A partition that was paused
// and goes on is in the fetch after the one that is held: the Go client's own 5 s would keep its records waiting as long.
const fetchWait = 500 * time.Millisecond

func requestTimeout(t time.Duration) []kgo.Opt { return []kgo.Opt{kgo.RequestTimeoutOverhead(t)} }

func dialTimeout(t time.Duration) []kgo.Opt { return []kgo.Opt{kgo.DialTimeout(t)} }

func metadataAge(t time.Duration) []kgo.Opt {
	opts := []kgo.Opt{kgo.MetadataMaxAge(t)}
	if t < leaderLook {
		opts = append(opts, kgo.MetadataMinAge(t))
	}
	return opts
}

// idleTimeout maps connections.max.idle.ms, where -1 is never; the Go client's longest is a quarter of an hour.
func idleTimeout(d *draft, p module.Property) error {
	v, err := number(p, -1, math.MaxInt64)
	if err != nil {
		return err
	}
	const least, most = 100 * time.Millisecond, 15 * time.Minute
	t := most
	if v >= 0 && v < most.Milliseconds() {
		t = max(least, time.Duration(v)*time.Millisecond)
	}
	d.opts = append(d.opts, kgo.ConnIdleTimeout(t))
	return nil
}

func fetchMinBytes(n int32) []kgo.Opt { return []kgo.Opt{kgo.FetchMinBytes(n)} }

func fetchMaxBytes(n int32) []kgo.Opt {
	opts := []kgo.Opt{kgo.FetchMaxBytes(n)}
	if n > clientFrame {
		opts = append(opts, kgo.BrokerMaxReadBytes(n))
	}
	return opts
}

func fetchPartitionBytes(n int32) []kgo.Opt { return []kgo.Opt{kgo.FetchMaxPartitionBytes(n)} }

// fetchMaxWait keeps the shortest wait that the Go client takes.
func fetchMaxWait(t time.Duration) []kgo.Opt {
	return []kgo.Opt{kgo.FetchMaxWait(max(t, 10*time.Millisecond))}
}

func linger(t time.Duration) []kgo.Opt { return []kgo.Opt{kgo.ProducerLinger(t)} }

func maxRequestSize(n int32) []kgo.Opt {
	opts := []kgo.Opt{kgo.ProducerBatchMaxBytes(n)}
	if n > clientFrame {
		opts = append(opts, kgo.BrokerMaxWriteBytes(n))
	}
	return opts
}

func clientID(d *draft, p module.Property) error {
	if len(p.Value) > 256 {
		return fmt.Errorf("is longer than 256 characters")
	}
	d.opts = append(d.opts, kgo.ClientID(p.Value))
	return nil
}

func rack(d *draft, p module.Property) error {
	d.opts = append(d.opts, kgo.Rack(p.Value))
	return nil
}

func servers(d *draft, p module.Property) error {
	for b := range strings.SplitSeq(p.Value, ",") {
		if b = strings.TrimSpace(b); b != "" {
			d.brokers = append(d.brokers, b)
		}
	}
	return nil
}

func sessionTimeout(d *draft, p module.Property) error {
	v, err := number(p, 100, longestWire.Milliseconds())
	d.session = time.Duration(v) * time.Millisecond
	return err
}

// loginTimeout adds up what Java gives to connecting and to reading.
func loginTimeout(d *draft, p module.Property) error {
	v, err := number(p, 1, longestWire.Milliseconds())
	d.login += time.Duration(v) * time.Millisecond
	return err
}

func compression(d *draft, p module.Property) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[strings.TrimSpace(p.Value)]
	if !ok {
		return fmt.Errorf("%q is unknown: use none, gzip, snappy, lz4 or zstd", p.Value)
	}
	d.opts = append(d.opts, kgo.ProducerBatchCompression(codec))
	return nil
}
