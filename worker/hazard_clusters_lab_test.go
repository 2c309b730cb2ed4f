package worker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/outbox"
)

// away is another cluster than the application's, with topics "in" and "out" of the same names. The lab's methods that
// read and write topics are about it. It can be cut off from the workers, whose requests it answers no more.
type away struct {
	*lab
	down  bool
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// awayModule is moduleText with an ingress and an egress on another cluster. Its egress is test/far, its group its own.
func awayModule(address, application, ingress string) string {
	return strings.Replace(moduleText, "  id: app\n", "  id: app\n  brokers: localhost:1\n"+application, 1) + `---
kind: io.statefun.kafka.v1/ingress
spec:
  id: test/away
  address: ` + address + `
  consumerGroupId: elsewhere
  ` + ingress + `
  topics:
    - topic: in
      valueType: test/command
      targets: [test/f]
---
kind: io.statefun.kafka.v1/egress
spec:
  id: test/far
  address: ` + address + "\n"
}

// newAway makes the other cluster.
func newAway(t *testing.T) *away {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("away"), kfake.SeedTopics(2, "in", "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	a := &away{conns: map[net.Conn]bool{}, lab: &lab{world: &world{t: t, brokers: cluster.ListenAddrs(), client: client}, cluster: cluster, admin: kadm.NewClient(client)}}
	a.reconnect()
	return a
}

func (a *away) address() string { return strings.Join(a.brokers, ",") }

// twoClusters is a lab whose workers have to do with the other cluster too.
func twoClusters(t *testing.T, a *away, text string, version string, f script) *lab {
	t.Helper()
	l := newLab(t, setting{version: version, module: text}, f)
	l.change = a.between
	return l
}

// between lets a worker's connections to the cluster be cut.
func (a *away) between(c *Config) {
	looking(c)
	dial := c.ClientOptions
	c.ClientOptions = append(slices.Clone(dial), kgo.Dialer(a.dialer(networkOf(dial))))
}

// networkOf is the lab's own dialer, which comes first among its options.
func networkOf(options []kgo.Opt) func(context.Context, string, string) (net.Conn, error) {
	client, err := kgo.NewClient(options...)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	return client.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error))
}

func (a *away) dialer(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, kind, host string) (net.Conn, error) {
		conn, err := dial(ctx, kind, host)
		if err != nil || !slices.Contains(a.brokers, host) {
			return conn, err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.down {
			conn.Close()
			return nil, errCut
		}
		a.conns[conn] = true
		return conn, nil
	}
}

// cutOff makes the cluster unreachable for the workers, come makes it reachable.
func (a *away) cutOff() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = true
	for conn := range a.conns {
		conn.Close()
	}
	a.conns = map[net.Conn]bool{}
}

func (a *away) come() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = false
}

// ids gives, for each value that lies in topic "out" of the cluster, the ids of its copies.
func (a *away) ids() map[string][]string {
	a.t.Helper()
	ids := map[string][]string{}
	for _, r := range a.read("out") {
		for _, h := range r.Headers {
			if h.Key == outbox.HeaderID {
				ids[string(r.Value)] = append(ids[string(r.Value)], string(h.Value))
			}
		}
	}
	return ids
}

// firsts gives the values of each key in the order in which a reader sees them that drops what has an id that it knows.
func (a *away) firsts() map[string][]string {
	a.t.Helper()
	known, values := map[string]bool{}, map[string][]string{}
	for _, r := range a.read("out") {
		id := ""
		for _, h := range r.Headers {
			if h.Key == outbox.HeaderID {
				id = string(h.Value)
			}
		}
		if id == "" {
			a.t.Errorf("record %s has no id", r.Value)
		}
		if !known[id] {
			values[string(r.Key)] = append(values[string(r.Key)], string(r.Value))
		}
		known[id] = true
	}
	return values
}

// counted waits until the other cluster has the numbers 1 to n of a key, and checks that they came in this order.
func (a *away) counted(l *lab, key string, n int) {
	a.t.Helper()
	l.until(fmt.Sprintf("%s has %d records on the other cluster", key, n), func() bool { return len(a.firsts()[key]) >= n })
	for i, v := range a.firsts()[key] {
		if v != fmt.Sprintf("%d:r%d", i+1, i) {
			a.t.Fatalf("record %d of %s is %s, of %v", i, key, v, a.firsts()[key])
		}
	}
}

// waiting is how many rows wait in the outbox of the worker.
func (l *lab) waiting() (rows int) {
	l.loop(func(w *Worker) { rows = w.sends.held.rows })
	return rows
}

// both sends each input to the egress here and to the one on the other cluster.
func both(_ context.Context, call *callOf, r *reply) error {
	n := len(call.states["count"])
	for _, a := range call.arguments {
		n++
		r.egress("test/out", "out", call.target.ID, fmt.Sprint(n, ":", string(a)))
		r.egress("test/far", "out", call.target.ID, fmt.Sprint(n, ":", string(a)))
	}
	r.set("count", strings.Repeat("x", n))
	return nil
}

// soon is how long a test looks that something does not happen.
const soon = 200 * time.Millisecond

// commitGroup sets the offsets of a group on the cluster.
func (a *away) commitGroup(group string, offset int64) {
	a.t.Helper()
	offsets := kadm.Offsets{}
	for p := range int32(2) {
		offsets.Add(kadm.Offset{Topic: "in", Partition: p, At: offset, LeaderEpoch: -1})
	}
	if err := a.admin.CommitAllOffsets(a.t.Context(), group, offsets); err != nil {
		a.t.Fatal(err)
	}
}
