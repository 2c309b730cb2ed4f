// Package audit holds what a stopped application left behind — changelog, stores, offsets, transactions — against what
// its functions said last.
//
// Package history tells whether what the functions saw was right. Audit tells whether what will be restored is the same:
// a row too many or too few shows in no output until the next take-over.
package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
)

// Rule names what a violation breaks.
type Rule string

// The rules of an audit.
const (
	RuleState       Rule = "state"       // the changelog's state of an address is not what its function said last
	RulePlace       Rule = "place"       // a row lies in a partition that does not own its address
	RuleStore       Rule = "store"       // a worker's disk is not the changelog up to the disk's position
	RuleLeftover    Rule = "leftover"    // a pending, delayed or other row is left where all is done
	RuleProgress    Rule = "progress"    // a source is not done to its end, or its progress row cannot be read
	RuleOffsets     Rule = "offsets"     // the group's offset is not that of the progress row
	RuleTransaction Rule = "transaction" // a transaction is open, or there are too many transactional ids
	RuleDeadLetter  Rule = "dead-letter" // an input was given up
)

// Violation is one broken rule.
type Violation struct {
	Rule Rule
	Text string
}

// Row is a committed record of the changelog; without a value it deletes its key.
type Row struct {
	Partition  int32
	Offset     int64
	Key, Value []byte
}

// Store is one partition on one worker's disk: its rows as of a changelog position.
type Store struct {
	Worker    string
	Partition int32
	Position  int64
	Rows      map[string][]byte
}

// Source is one partition of an ingress topic or of the mailbox.
type Source struct {
	Topic     string
	Partition int32
	// Records are the offsets of its committed records that are not deleted.
	Records []int64
	// Committed is the group's offset, -1 when there is none.
	Committed int64
}

// Evidence is what a stopped application left behind.
type Evidence struct {
	// Partitions is the application's number of partitions; Owner says which of them owns an id.
	Partitions int32
	Owner      func(id string) int32
	// Last is what the function of each address, "type/id", said last of its states.
	Last map[string]load.Memory
	// Changelog has every committed record of the changelog, those of a partition in their order.
	Changelog []Row
	Stores    []Store
	Sources   []Source
	// Transactions are the states of the application's transactional ids, as the broker names them.
	Transactions map[string]string
	// MostTransactions is how many transactional ids there may be.
	MostTransactions int
	// Open are the partitions with records of a transaction that has no end, by any name.
	Open []string
	// DeadLetters is the number of dead-letter records.
	DeadLetters int
}

// Report is what Check found.
type Report struct {
	Violations []Violation
	// Rows, States, Stores and StoredRows count what was compared: changelog records, addresses, partitions on a disk,
	// rows on disks. Level counts the partitions of which some disk is level with the changelog's end.
	Rows, States, Stores, StoredRows, Level int
}

func (r *Report) violate(rule Rule, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// rows are the rows of one partition by key.
type rows map[string][]byte

func (r rows) apply(row Row) {
	if row.Value == nil {
		delete(r, string(row.Key))
		return
	}
	r[string(row.Key)] = row.Value
}

// Check audits the evidence.
func Check(e Evidence) Report {
	r := Report{Rows: len(e.Changelog)}
	logs := map[int32][]Row{}
	for _, row := range e.Changelog {
		logs[row.Partition] = append(logs[row.Partition], row)
	}
	truth := map[int32]rows{}
	for p, log := range logs {
		truth[p] = rows{}
		for _, row := range log {
			truth[p].apply(row)
		}
	}
	r.checkStates(&e, truth)
	r.checkRows(&e, truth)
	r.checkStores(&e, logs)
	r.checkTransactions(&e)
	if e.DeadLetters > 0 {
		r.violate(RuleDeadLetter, "%d inputs were given up and written to the dead-letter topic", e.DeadLetters)
	}
	return r
}

// checkStates holds the value rows against what the functions said.
func (r *Report) checkStates(e *Evidence, truth map[int32]rows) {
	found := map[string]map[string][]byte{}
	for p, partition := range truth {
		for key, value := range partition {
			if key[0] == state.KindValue {
				r.collect(e, found, p, key, value)
			}
		}
	}
	r.States = len(found)
	for address, want := range e.Last {
		got, err := load.ReadMemory(found[address])
		if err != nil {
			r.violate(RuleState, "%s: %v", address, err)
		} else if got != want {
			r.violate(RuleState, "%s: the changelog has %+v, the function said %+v", address, got, want)
		}
	}
	for address := range found {
		if _, known := e.Last[address]; !known {
			r.violate(RuleState, "%s has a state and never said anything", address)
		}
	}
}

func (r *Report) collect(e *Evidence, found map[string]map[string][]byte, p int32, key string, row []byte) {
	a, name, err := state.ParseValueKey([]byte(key))
	if err != nil {
		r.violate(RuleState, "partition %d: %v", p, err)
		return
	}
	value, err := state.ParseValue(row)
	if err != nil {
		r.violate(RuleState, "state %s of %s: %v", name, a, err)
		return
	}
	if owner := e.Owner(a.ID); owner != p {
		r.violate(RulePlace, "state %s of %s lies in partition %d, its owner is %d", name, a, p, owner)
	}
	at := addressName(a)
	if found[at] == nil {
		found[at] = map[string][]byte{}
	}
	found[at][name] = value.Bytes
}

func addressName(a protocol.Address) string { return a.Type.Name + "/" + a.ID }

// checkRows looks for rows that must be gone, and holds the progress rows against topics and group.
func (r *Report) checkRows(e *Evidence, truth map[int32]rows) {
	for p, partition := range truth {
		for key, value := range partition {
			switch kind := key[0]; kind {
			case state.KindPending, state.KindTimer, state.KindToken, state.KindExpiry, state.KindOutbox:
				r.violate(RuleLeftover, "partition %d: a row of kind %q is left: %q = %.80q", p, kind, key, value)
			}
		}
	}
	for _, s := range e.Sources {
		r.checkSource(s, truth[s.Partition%e.Partitions])
	}
}

func (r *Report) checkSource(s Source, partition rows) {
	row, is := partition[string(state.ProgressKey(s.Topic, s.Partition))]
	if !is {
		r.violate(RuleProgress, "%s/%d has no progress row", s.Topic, s.Partition)
		return
	}
	progress, err := state.ParseProgress(row)
	if err != nil {
		r.violate(RuleProgress, "%s/%d: %v", s.Topic, s.Partition, err)
		return
	}
	var unread []int64
	for _, offset := range s.Records {
		if offset >= progress.Position && !finished(progress, offset) {
			unread = append(unread, offset)
		}
	}
	if len(unread) > 0 {
		r.violate(RuleProgress, "%s/%d: %d records are not done, first at %d; the position is %d", s.Topic, s.Partition,
			len(unread), unread[0], progress.Position)
	}
	if s.Committed != progress.Position {
		r.violate(RuleOffsets, "%s/%d: the group's offset is %d, the position %d", s.Topic, s.Partition, s.Committed, progress.Position)
	}
}

func finished(p state.Progress, offset int64) bool {
	return slices.ContainsFunc(p.Finished, func(run state.Run) bool { return run.From <= offset && offset <= run.To })
}

// checkStores holds each disk against the changelog up to the disk's own position: a disk may be behind, never wrong.
func (r *Report) checkStores(e *Evidence, logs map[int32][]Row) {
	level := map[int32]bool{}
	for _, s := range e.Stores {
		want, last := rows{}, int64(-1)
		for _, row := range logs[s.Partition] {
			last = row.Offset
			if row.Offset < s.Position {
				want.apply(row)
			}
		}
		r.Stores, r.StoredRows = r.Stores+1, r.StoredRows+len(s.Rows)
		level[s.Partition] = level[s.Partition] || s.Position > last
		r.compare(s, want)
	}
	r.Level = 0
	for _, is := range level {
		if is {
			r.Level++
		}
	}
}

func (r *Report) compare(s Store, want rows) {
	name := fmt.Sprintf("%s partition %d at position %d", s.Worker, s.Partition, s.Position)
	for key, value := range s.Rows {
		if truth, is := want[key]; !is {
			r.violate(RuleStore, "%s: the disk has %q = %.60q, the changelog has not", name, key, value)
		} else if !bytes.Equal(truth, value) {
			r.violate(RuleStore, "%s: the disk has %q = %.60q, the changelog %.60q", name, key, value, truth)
		}
	}
	for key, value := range want {
		if _, is := s.Rows[key]; !is {
			r.violate(RuleStore, "%s: the disk lacks %q = %.60q", name, key, value)
		}
	}
}

// ended are the states of a transactional id without an open transaction.
var ended = []string{"Empty", "CompleteCommit", "CompleteAbort", "Dead"}

func (r *Report) checkTransactions(e *Evidence) {
	for id, is := range e.Transactions {
		if !slices.Contains(ended, is) {
			r.violate(RuleTransaction, "the transaction of %s is in state %s", id, is)
		}
	}
	if len(e.Open) > 0 {
		r.violate(RuleTransaction, "transactions are open on %s", strings.Join(e.Open, ", "))
	}
	if len(e.Transactions) > e.MostTransactions {
		r.violate(RuleTransaction, "there are %d transactional ids, %d would do", len(e.Transactions), e.MostTransactions)
	}
}
