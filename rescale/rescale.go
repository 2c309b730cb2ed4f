// Package rescale changes the number of partitions of a stopped application: it writes what the application has in its
// changelog and unread in its mailbox into topics of the next generation, and lets the application go over to them.
//
//	lock     the consumer group, under a protocol that no worker speaks: no worker can be a member meanwhile
//	fence    every producer that wrote to the old topics, so that no transaction of theirs can end any more
//	journal  a topic that tells workers not to start, and a later run where this one stood
//	create   the topics of the next generation, empty
//	barrier  a row in each old changelog partition, behind everything that is committed
//	read     the old changelog up to the barrier and the unread mailbox, into a store on the local disk
//	write    its rows to where their addresses belong now
//	verify   reads the new topics back and compares them
//	switch   one transaction: the group's offsets, the end of the old topics, and a word in the journal
//	done     the journal is deleted
//
// Up to the switch the old topics have lost nothing and the new ones can be thrown away, which is what a run does that
// finds an incomplete one. From the switch on the new ones count, and a run only deletes the journal.
package rescale

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// Config says which application is rescaled and how.
type Config struct {
	ApplicationID string
	// Partitions is the new count.
	Partitions int32
	// Reading and Producing open clients.
	Reading, Producing kafka.Settings
	// WorkDir is the folder for the rows while they are sorted; empty: a temporary one. It is emptied at the end.
	WorkDir string
	// Fence ends open transactions of workers that are gone instead of refusing to begin.
	Fence bool
	// Progress is called once a second, and at the end of each phase; nil: not.
	Progress func(Progress)
	Logger   *slog.Logger

	// At is called at each point where a test may cut a run short; nil: not.
	At func(point string) error
	// RowsAtOnce is how many rows a transaction has at most; 0: 50,000.
	RowsAtOnce int
}

// ErrRefused marks that nothing was begun, because the application or its topics are not fit for it.
var ErrRefused = errors.New("rescale refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// job is one run of a command.
type job struct {
	Config
	admin    *kgo.Client
	adm      *kadm.Client
	from, to layout
	existing map[string]topics.Existing
	report   Report
	meter    meter

	lock   *lock
	writer *writer
	source *source
	dir    string
	stores []*state.Store
	closes []func()
}

// layout is the topics of one generation.
type layout struct {
	generation         int
	partitions         int32
	changelog, mailbox string
}

func (c *Config) layout(generation int, partitions int32) layout {
	return layout{generation, partitions, topics.ChangelogOf(c.ApplicationID, generation), topics.MailboxOf(c.ApplicationID, generation)}
}

func (c Config) open(command string) (*job, error) {
	if c.ApplicationID == "" {
		return nil, errors.New("rescale: no application id: give one in the module or with --application-id")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.At == nil {
		c.At = func(string) error { return nil }
	}
	if c.RowsAtOnce == 0 {
		c.RowsAtOnce = transactionRows
	}
	admin, err := c.Reading.Open()
	if err != nil {
		return nil, err
	}
	j := &job{Config: c, admin: admin, adm: kadm.NewClient(admin)}
	j.closes = append(j.closes, admin.Close)
	j.report = Report{Application: c.ApplicationID, Command: command, began: time.Now()}
	j.meter.show = c.Progress
	return j, nil
}

func (j *job) close() {
	for i := len(j.closes) - 1; i >= 0; i-- {
		j.closes[i]()
	}
}

// checkPartitions refuses a count that the local store has no room for.
func (c *Config) checkPartitions() error {
	if c.Partitions < 1 || c.Partitions > state.MaxPartition {
		return refuse("%d partitions are out of range: give 1 to %d", c.Partitions, state.MaxPartition)
	}
	return nil
}

// Run rescales. When an earlier run was cut short it begins anew, or ends what only lacks its end.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.checkPartitions(); err != nil {
		return nil, err
	}
	j, err := c.open("rescale")
	if err != nil {
		return nil, err
	}
	defer j.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := j.takeLock(ctx, cancel); err != nil {
		return nil, err
	}
	err = j.run(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = errors.Join(err, cause)
	}
	return j.report.ended(err)
}

func (j *job) run(ctx context.Context) error {
	if err := j.takeWriter(ctx); err != nil {
		return err
	}
	if err := j.resume(ctx); err != nil {
		return err
	}
	if j.from.partitions == j.Partitions {
		if j.report.State != StateComplete {
			j.report.State = StateNothing
		}
		return nil
	}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"fence", j.fence},
		{"journal", j.beginJournal},
		{"create", j.create},
		{"barrier", j.barriers},
		{"read", j.load},
		{"write", j.write},
		{"verify", j.verifyWritten},
		{"switch", j.change},
		{"done", j.endJournal},
	}
	for _, s := range steps {
		if err := j.At(s.name); err != nil {
			return err
		}
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	j.report.State = StateComplete
	return nil
}

// Abort throws away what an incomplete run has written and lets the application start as it was.
func Abort(ctx context.Context, c Config) (*Report, error) {
	j, err := c.open("abort")
	if err != nil {
		return nil, err
	}
	defer j.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := j.takeLock(ctx, cancel); err != nil {
		return nil, err
	}
	return j.report.ended(j.abort(ctx))
}

func (j *job) abort(ctx context.Context) error {
	if err := j.takeWriter(ctx); err != nil {
		return err
	}
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return err
	}
	if !g.Rescaling {
		j.report.State = StateNothing
		return nil
	}
	last, err := j.readJournal(ctx)
	if err != nil {
		return err
	}
	if last.Switched {
		return refuse("application %s has gone over to its %d partitions, only the end is missing: run statefun-kafka rescale --partitions %d again", j.ApplicationID, last.ToPartitions, last.ToPartitions)
	}
	if err := j.dropIncomplete(ctx, g, last); err != nil {
		return err
	}
	j.report.State = StateAborted
	return j.endJournal(ctx)
}

// DeleteOld deletes the topics of all generations but the one that counts. It refuses while a rescale is incomplete.
func DeleteOld(ctx context.Context, c Config) (*Report, error) {
	j, err := c.open("delete-old")
	if err != nil {
		return nil, err
	}
	defer j.close()
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return nil, err
	}
	if g.Rescaling {
		return nil, refuse("the rescale of application %s is incomplete, its old topics are still needed: run statefun-kafka rescale --partitions N again, or statefun-kafka rescale --abort", j.ApplicationID)
	}
	if err := j.layOut(g, g.Current); err != nil {
		return nil, err
	}
	var names []string
	for generation := 1; generation < g.Current; generation++ {
		names = append(names, topics.MailboxOf(j.ApplicationID, generation), topics.ChangelogOf(j.ApplicationID, generation))
	}
	j.report.State = StateNothing
	j.report.Deleted, err = j.deleteTopics(ctx, g.Topics, names)
	if len(j.report.Deleted) > 0 {
		j.report.State = StateDeleted
	}
	return j.report.ended(err)
}

// layOut finds the topics of the generation that the application runs on.
func (j *job) layOut(g topics.Generations, generation int) error {
	j.existing = g.Topics
	l := j.layout(generation, 0)
	changelog, is := g.Topics[l.changelog]
	mailbox, also := g.Topics[l.mailbox]
	switch {
	case generation == 0 || !is && !also:
		return refuse("there is no application %s on this cluster: neither %s nor %s exists", j.ApplicationID, l.changelog, l.mailbox)
	case !is || !also:
		return refuse("of the topics %s and %s only one exists: start the application once, which creates or refuses what is missing", l.changelog, l.mailbox)
	case changelog.Partitions != mailbox.Partitions:
		return refuse("topic %s has %d partitions and %s has %d: they were changed by hand, which no rescale can mend", l.changelog, changelog.Partitions, l.mailbox, mailbox.Partitions)
	}
	l.partitions = changelog.Partitions
	j.from, j.to = l, j.layout(generation+1, j.Partitions)
	j.report.FromPartitions, j.report.ToPartitions = l.partitions, j.Partitions
	j.report.FromTopics, j.report.ToTopics = []string{l.changelog, l.mailbox}, []string{j.to.changelog, j.to.mailbox}
	return nil
}

// openStore opens an empty store in the work folder.
func (j *job) openStore(name string) (*state.Store, error) {
	if j.dir == "" {
		dir, err := os.MkdirTemp(j.WorkDir, "statefun-rescale-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the rows: %w: name one that can be written with --work-dir", err)
		}
		j.dir = dir
		j.closes = append(j.closes, func() {
			for _, s := range j.stores {
				_ = s.Close() // its rows are thrown away
			}
			_ = os.RemoveAll(dir)
		})
	}
	s, err := state.Open(state.Options{Dir: filepath.Join(j.dir, name), ApplicationID: j.ApplicationID, Logger: j.Logger})
	if err != nil {
		return nil, err
	}
	j.stores = append(j.stores, s)
	return s, nil
}
