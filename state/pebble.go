package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

const (
	// formatMajorVersion is pinned: Pebble moves a folder up to it and never back, so a later one shuts out older
	// builds. Raise it together with a note in the changelog of the project.
	formatMajorVersion = pebble.FormatTableFormatV6
	bloomBitsPerKey    = 10 // one miss in a hundred still reads a block
	blockBytes         = 8 << 10
	maxOpenFiles       = 1000
	// memTableStop is how many memtables may wait for their flush before writes wait too.
	memTableStop = 4
)

// openDB opens Pebble and reads the positions.
func (s *Store) openDB(o Options) (err error) {
	s.metrics = newMetrics()
	s.cache = pebble.NewCache(o.CacheBytes)
	logger := &pebbleLogger{store: s}
	logger.opening.Store(true)
	defer func() {
		if r := recover(); r != nil {
			fatal, ours := r.(fatalError)
			if !ours {
				panic(r)
			}
			err = s.openError(o, fatal.err)
		}
	}()
	db, err := pebble.Open(o.FS.PathJoin(o.Dir, dbFolder), s.pebbleOptions(o, logger))
	if err != nil {
		s.cache.Unref()
		return s.openError(o, err)
	}
	logger.opening.Store(false)
	s.db = db
	if err := s.loadPositions(); err != nil {
		defer s.cache.Unref()
		return errors.Join(s.openError(o, err), db.Close())
	}
	return nil
}

func (s *Store) openError(o Options, err error) error {
	return fmt.Errorf("open the state folder %s: %w: %s", o.Dir, err, wayOut(err))
}

// wayOut says what can be done about an error of the disk.
func wayOut(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full, free some space and start again"
	case pebble.IsCorruptionError(err):
		return "remove the folder and start again (it is restored from the changelog)"
	default:
		return "look after the disk and start again, or remove the folder (it is restored from the changelog)"
	}
}

func (s *Store) pebbleOptions(o Options, logger pebble.Logger) *pebble.Options {
	opts := &pebble.Options{
		FS:                          o.FS,
		Cache:                       s.cache,
		DisableWAL:                  true, // the changelog is the log
		FormatMajorVersion:          formatMajorVersion,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTableStop,
		MaxOpenFiles:                maxOpenFiles,
		Logger:                      logger,
		EventListener:               s.listener(),
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		opts.Levels[i].FilterType = pebble.TableFilter
		opts.Levels[i].BlockSize = blockBytes
	}
	return opts
}

// listener turns Pebble's events into figures and failures. Pebble calls it with locks held.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		FlushBegin: func(pebble.FlushInfo) { s.debt.flushBegan() },
		FlushEnd: func(info pebble.FlushInfo) {
			if info.Err == nil {
				s.debt.flushEnded()
				s.metrics.flushes.Inc()
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.metrics.stallBegan()
			s.log.Warn("state writes wait for the disk", "folder", s.dir, "reason", info.Reason)
		},
		WriteStallEnd:   func() { s.metrics.stallEnded() },
		BackgroundError: s.fail,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.fail(fmt.Errorf("%w: %s", pebble.ErrCorruption, info))
		},
	}
}

func (s *Store) loadPositions() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: positionKey(0)[:prefixBytes]})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		p, err := parsePositionKey(it.Key())
		if err == nil {
			s.positions[p], err = parsePosition(it.Value())
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// pebbleLogger passes on what Pebble has to say, most of it at debug level.
type pebbleLogger struct {
	store   *Store
	opening atomic.Bool
}

// fatalError carries an error that Pebble can not go on after out of Open.
type fatalError struct{ err error }

// Infof is for Pebble.
func (l *pebbleLogger) Infof(format string, args ...any) {
	if l.store.log.Enabled(context.Background(), slog.LevelDebug) {
		l.store.log.Debug("pebble", "says", fmt.Sprintf(format, args...))
	}
}

// Errorf is for Pebble.
func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.store.log.Error("pebble", "says", fmt.Sprintf(format, args...))
}

// Fatalf is for Pebble, which must not go on after it: the manifest can not be written. The default ends the program
// in the middle of what it does; here the store fails, the worker stops in its own way, and this goroutine, which may
// hold Pebble's locks, stays where it is until the program ends.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fatalCause(format, args)
	if l.opening.Load() {
		panic(fatalError{err})
	}
	l.store.fail(err)
	select {}
}

// fatalCause keeps the cause among the arguments, so that a full disk is known as one.
func fatalCause(format string, args []any) error {
	for _, a := range args {
		if cause, ok := a.(error); ok {
			return fmt.Errorf("pebble: %w", cause)
		}
	}
	return fmt.Errorf("pebble: "+format, args...)
}
