package state

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of Options.
const (
	// DefaultMemTableBytes: memtables are taken out of the block cache, so that a big one starves the reads.
	DefaultMemTableBytes = 16 << 20
	// DefaultCacheBytes is for blocks and memtables together.
	DefaultCacheBytes = 64 << 20
)

// WipeOtherCluster is the value of Options.OtherCluster that empties a folder filled from another Kafka cluster.
const WipeOtherCluster = "wipe"

// FileSystem is where a store lies: the disk, or memory in tests.
type FileSystem = vfs.FS

// ErrClosed is returned by all methods of a store after Close.
var ErrClosed = errors.New("the state store is closed")

// Options says where a store is and whose it is. Dir and ApplicationID are required.
type Options struct {
	Dir           string
	FS            FileSystem // nil: the disk
	ApplicationID string
	WorkerID      string // empty: the one kept in the folder, or a new one
	ClusterID     string // empty: not compared
	OtherCluster  string // what to do with a folder of another cluster: empty refuses it, WipeOtherCluster empties it
	CacheBytes    int64  // 0: DefaultCacheBytes
	MemTableBytes int64  // 0: DefaultMemTableBytes
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
}

// Store is the rows of a worker's partitions. Its methods may be called concurrently.
type Store struct {
	dir      string
	log      *slog.Logger
	identity Identity
	db       *pebble.DB
	cache    *pebble.Cache
	lock     io.Closer
	metrics  *metrics
	debt     *replayDebt

	applyMu sync.Mutex // one batch at a time, from the check of the positions to their change

	positionsMu sync.RWMutex
	positions   map[int32]Position // as the last batch left them

	// Batches are committed by a goroutine of their own (run by writeBatches), so that a caller is told about a full
	// disk while Pebble waits for room.
	batches    chan *pebble.Batch
	results    chan error
	writerDone chan struct{}

	failOnce sync.Once
	failed   chan struct{} // closed once, after failure is set
	failure  error

	users  atomic.Int64 // calls in progress
	closed atomic.Bool
	idle   chan struct{} // a call that left a closed store says so
}

// Open opens the store in a folder, which it makes when there is none. It refuses a folder that another process runs
// on, one of another application or cluster, and one of a later format.
func Open(o Options) (*Store, error) {
	if o.Dir == "" || o.ApplicationID == "" {
		return nil, errors.New("open the state store: the folder and the application id are required")
	}
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	s := &Store{
		dir:        o.Dir,
		log:        o.Logger,
		debt:       newReplayDebt(time.Now),
		positions:  map[int32]Position{},
		batches:    make(chan *pebble.Batch),
		results:    make(chan error, 1),
		writerDone: make(chan struct{}),
		failed:     make(chan struct{}),
		idle:       make(chan struct{}, 1),
	}
	f, err := openFolder(o)
	if err != nil {
		return nil, err
	}
	s.identity, s.lock = f.identity, f.lock
	if err := s.openDB(o); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	go s.writeBatches()
	s.metrics.registerer = o.Registerer
	if err := s.metrics.register(s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (o *Options) setDefaults() error {
	if o.FS == nil {
		// The lock of a folder is kept by name within a process, so two names of one folder must become one.
		dir, err := filepath.Abs(o.Dir)
		if err != nil {
			return fmt.Errorf("open the state folder %s: %w", o.Dir, err)
		}
		o.Dir, o.FS = dir, vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Identity says whose folder this is, and which processes ran on it.
func (s *Store) Identity() Identity { return s.identity }

// Failed is closed when the store can not go on, for example because the disk is full; Err then says why. Nothing is
// lost by it: the changelog has all that was committed.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err returns why the store can not go on, nil while it can.
func (s *Store) Err() error {
	select {
	case <-s.failed:
		return s.failure
	default:
		return nil
	}
}

// fail makes all later batches fail with the first error given. Pebble calls it with its locks held.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		s.failure = fmt.Errorf("state folder %s: %w: %s; nothing is lost, the changelog has it", s.dir, err, wayOut(err))
		close(s.failed)
	})
}

// Close writes to disk what is only in memory, so that the next start has nothing to replay, and lets go of the
// folder. It waits for calls in progress.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return ErrClosed
	}
	for s.users.Load() > 0 {
		<-s.idle
	}
	s.metrics.unregister()
	close(s.batches)
	if err := s.flushAll(); err != nil {
		// Pebble may be waiting for room on disk for ever; the process is about to end, and the lock with it.
		return fmt.Errorf("close the state store: %w", err)
	}
	err := s.db.Close()
	s.cache.Unref()
	if err = errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close the state folder %s: %w", s.dir, err)
	}
	return nil
}

// flushAll waits until all batches are on disk. Pebble's own Close does not do it where there is no write-ahead log.
func (s *Store) flushAll() error {
	select {
	case <-s.writerDone:
	case <-s.failed:
		return s.failure
	}
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush the state folder %s: %w", s.dir, err)
	}
	select {
	case <-flushed:
		return nil
	case <-s.failed:
		return s.failure
	}
}

// enter begins a call; leave must follow unless it returns an error.
func (s *Store) enter() error {
	s.users.Add(1)
	if s.closed.Load() {
		s.leave()
		return ErrClosed
	}
	return nil
}

func (s *Store) leave() {
	if s.users.Add(-1) == 0 && s.closed.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}
