package worker

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// settle waits until every expected input has its egress record, checks each of them, and that nothing follows.
func (s *sim) settle() {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	lists := map[int]map[int]string{} // address → place → input
	seen, over := map[string]bool{}, false
	s.committed = map[string]string{}
	until, poke := time.Now().Add(*simSettle), time.Now().Add(simPoke)
	for time.Now().Before(until) {
		if time.Now().After(poke) {
			poke = poke.Add(simPoke)
			s.poke()
		}
		s.supervise()
		for _, p := range s.processes { // a record that a fault refused may be remembered for longer than the test waits
			p.worker.catalog.Forget("out")
		}
		ctx, cancel := context.WithTimeout(context.Background(), min(time.Until(until), 200*time.Millisecond))
		fetches := client.PollFetches(ctx)
		cancel()
		fetches.EachRecord(func(r *kgo.Record) { s.record(r, lists, seen) })
		if done := len(seen) == len(s.want) && s.relieved() && s.delivered(); done && (fetches.NumRecords() > 0 || !over) {
			until, over = time.Now().Add(300*time.Millisecond), true // nothing more may come
		}
	}
	if !over {
		s.t.Errorf("it does not come to its end: all appends are done: %v%s, all is delivered: %v", s.relieved(), s.unrelieved(), s.delivered())
	}
	for _, id := range slices.Sorted(maps.Keys(s.want)) {
		if !seen[id] {
			s.t.Errorf("input %s of address %d was lost", id, s.want[id])
		}
	}
	if !s.t.Failed() {
		s.checkOrder(lists)
		for _, a := range s.arrivals() {
			a.check()
		}
	}
}

// simPoke is when a group that waits is looked at.
const simPoke = 4 * time.Second

// poke breaks all connections. kfake never answers the JoinGroup of a member that it takes for dead meanwhile, which it
// does while the others are waited for; Kafka does neither. The client would ask again after 55 s only. And it keeps a
// member for ever that died between its JoinGroup and its SyncGroup, where Kafka's session runs out.
func (s *sim) poke() {
	s.dumpGroup()
	s.evictGhosts()
	s.count("connections broken while the group waits")
	for _, p := range s.processes {
		p.network.breakAll()
	}
}

// evictGhosts removes members that no process is.
func (s *sim) evictGhosts() {
	g := s.cluster.GroupInfo("app")
	if g == nil || g.State != "Stable" {
		return
	}
	for _, m := range g.Members {
		for _, p := range s.processes {
			if m.InstanceID == nil || *m.InstanceID != p.name {
				continue
			}
			alive := p.asked(func(w *Worker) bool {
				id := ""
				if w.group != nil {
					id, _ = w.group.identity()
				}
				return id == m.MemberID
			})
			if !alive {
				s.count("member evicted that died before its SyncGroup")
				p.evict()
			}
		}
	}
}

func (s *sim) record(r *kgo.Record, lists map[int]map[int]string, seen map[string]bool) {
	id, place, _ := parseOutput(string(r.Value))
	a := addressOf(string(r.Key))
	root, _, _ := strings.Cut(id, ".")
	s.certain(root)
	want, is := s.want[id]
	switch {
	case !is:
		s.t.Errorf("egress has %s, which nobody sent or which was cancelled", r.Value)
	case want != a:
		s.t.Errorf("input %s came to address %d, not %d", id, a, want)
	case seen[id]:
		s.t.Errorf("egress has input %s twice", id)
	case lists[a][place] != "":
		s.t.Errorf("address %d processed %s and %s as number %d", a, lists[a][place], id, place)
	}
	seen[id], s.committed[id] = true, string(r.Value)
	if lists[a] == nil {
		lists[a] = map[int]string{}
	}
	lists[a][place] = id
}

// checkOrder: per sender and target in the order sent, per ingress partition and key in offset order.
func (s *sim) checkOrder(lists map[int]map[int]string) {
	place := map[string]int{}
	for _, list := range lists {
		for n, id := range list {
			place[id] = n
		}
	}
	records := map[string]ingressRecord{}
	for _, r := range s.sent {
		records[r.id] = r
	}
	for a, list := range lists {
		last, lastID := map[string][2]int64{}, map[string]string{}
		for n := 1; n <= len(list); n++ {
			id := list[n]
			if id == "" {
				s.t.Errorf("address %d has no input number %d of %d", a, n, len(list))
				continue
			}
			from, at, ordered := s.sender(id, place, records)
			if !ordered {
				continue
			}
			if was, is := last[from]; is && slices.Compare(at[:], was[:]) <= 0 {
				s.t.Errorf("order: from %s, address %d got %s before %s", from, a, lastID[from], id)
			}
			last[from], lastID[from] = at, id
		}
	}
}

// sender names where an input came from and its place among what that sender sent.
func (s *sim) sender(id string, place map[string]int, records map[string]ingressRecord) (from string, at [2]int64, ordered bool) {
	i := strings.LastIndexByte(id, '.')
	if i < 0 {
		r, is := records[id] // else it is an append that nobody knew of
		if !is {
			return "", at, false
		}
		return fmt.Sprintf("ingress %s partition %d", r.topic, r.partition), [2]int64{r.offset}, true
	}
	parent, suffix := id[:i], id[i+1:]
	n, err := strconv.Atoi(suffix)
	if suffix == "x" {
		n, err = 9, nil // it is sent last
	}
	return fmt.Sprint("address ", s.want[parent]), [2]int64{int64(place[parent]), int64(n)}, err == nil
}

// checkRows holds the changelog and the store against each other, and the rows that must be gone.
func (s *sim) checkRows() {
	truth := s.foldChangelog()
	for key, value := range truth {
		switch kind := key.key[0]; kind {
		case state.KindPending, state.KindTimer, state.KindToken, state.KindOutbox:
			s.t.Errorf("partition %d: a row of kind %q is left: %x = %x", key.partition, kind, key.key, value)
		}
	}
	for _, p := range s.processes {
		s.checkStore(p, truth)
	}
	s.checkState(truth)
	s.checkTransactions()
	s.checkMailbox()
	s.checkDeadLetters()
}

// checkStore holds the partitions that a process owned last against the changelog; what it has of others is an
// earlier state.
func (s *sim) checkStore(process *process, truth map[rowKey][]byte) {
	store, err := state.Open(state.Options{Dir: "/state", FS: process.disk, ApplicationID: "app", WorkerID: process.name})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	for p := range int32(simPartitions) {
		if len(s.processes) > 1 && !s.level(store, p) {
			continue
		}
		n := 0
		err := store.Scan(p, []byte{0}, nil, 0, func(key, value []byte) error {
			n++
			if want := truth[rowKey{p, string(key)}]; !bytes.Equal(want, value) {
				s.t.Errorf("%s partition %d: the store has %x = %x, the changelog %x", process.name, p, key, value, want)
			}
			return nil
		})
		if err != nil {
			s.t.Error(err)
		}
		want := 0
		for key := range truth {
			if key.partition == p {
				want++
			}
		}
		if n != want {
			s.t.Errorf("%s partition %d: the store has %d rows, the changelog %d", process.name, p, n, want)
		}
	}
}

// level reports whether a store stands at the end of a changelog partition; one marker may lie behind it.
func (s *sim) level(store *state.Store, p int32) bool {
	at, known, err := store.Position(p)
	if err != nil {
		s.t.Fatal(err)
	}
	ends, err := s.admin.ListEndOffsets(context.Background(), "app-changelog")
	if err != nil {
		s.t.Fatal(err)
	}
	end, _ := ends.Lookup("app-changelog", p)
	return known && at.Offset+1 >= end.Offset
}

type rowKey struct {
	partition int32
	key       string
}

// foldChangelog is the truth: the last committed row of each key.
func (s *sim) foldChangelog() map[rowKey][]byte {
	rows := map[rowKey][]byte{}
	s.eachRecord("app-changelog", func(r *kgo.Record) {
		key := rowKey{r.Partition, string(r.Key)}
		if r.Value == nil {
			delete(rows, key)
		} else {
			rows[key] = r.Value
		}
	})
	return rows
}

// eachRecord visits the committed records of a topic up to its ends as they are now.
func (s *sim) eachRecord(topic string, visit func(*kgo.Record)) {
	ends, err := s.admin.ListEndOffsets(context.Background(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	starts, err := s.admin.ListStartOffsets(context.Background(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if start, _ := starts.Lookup(o.Topic, o.Partition); o.Offset > start.Offset {
			left[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("topic %s cannot be read to its ends: %v are left", topic, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				visit(r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
}

// checkState holds the lists of processed inputs in the changelog against the expected inputs.
func (s *sim) checkState(truth map[rowKey][]byte) {
	seen := map[string]bool{}
	for key, row := range truth {
		if key.key[0] != state.KindValue {
			continue
		}
		a, name, err := state.ParseValueKey([]byte(key.key))
		if err != nil || name != "list" {
			continue
		}
		v, err := state.ParseValue(row)
		if err != nil {
			s.t.Error(err)
			continue
		}
		for _, id := range strings.Split(string(v.Bytes), ",") {
			if seen[id] || s.want[id] != addressOf(a.ID) {
				s.t.Errorf("the state of %s has input %s, twice or not its own", a, id)
			}
			seen[id] = true
		}
	}
	if len(seen) != len(s.want) {
		s.t.Errorf("the states have %d inputs, want %d", len(seen), len(s.want))
	}
}

// checkTransactions finds transactions that are left open, and counts the ids: a broker remembers each for days. One
// of a worker that was killed before it wrote a row, and never came back, ends with its time-out.
func (s *sim) checkTransactions() {
	var open, ids []string
	for until := time.Now().Add(2 * simTransaction); ; {
		open, ids = nil, nil
		listed, err := s.admin.ListTransactions(context.Background(), nil, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		for id, transaction := range listed {
			if transaction.State == "Ongoing" {
				open = append(open, id)
			}
			if strings.HasPrefix(id, "app-w") {
				ids = append(ids, id)
			}
		}
		if len(open) == 0 || time.Now().After(until) {
			break
		}
		time.Sleep(50 * time.Millisecond) // the broker tells nobody
	}
	if len(open) > 0 {
		s.t.Errorf("transactions of %v are left open", open)
	}
	if most := producerSlots * s.named; len(ids) > most {
		s.t.Errorf("%d transactional ids of %d workers, want at most %d: %v", len(ids), s.named, most, ids)
	}
}

// checkMailbox holds the committed offsets of the mailbox against its ends: what is behind them is markers only.
func (s *sim) checkMailbox() {
	left := map[int32]int64{}
	for p, c := range s.cluster.GroupInfo("app").Commits["app-mailbox"] {
		left[p] = c.Offset
	}
	s.eachRecord("app-mailbox", func(r *kgo.Record) {
		if r.Offset >= left[r.Partition] {
			s.t.Errorf("mailbox partition %d offset %d is not done, the group's offset is %d", r.Partition, r.Offset, left[r.Partition])
		}
	})
}
