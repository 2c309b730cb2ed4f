package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// The words of an appends file, one line each: a record is tried, and then durable, or refused, or nobody knows. The last
// word is over.
const (
	wordTry     = "try"
	wordDurable = "durable"
	wordRefused = "refused"
	wordUnknown = "unknown"
	wordOver    = "over"
)

const (
	appendsSuffix = ".appends"
	// waitsOneIn is how many records there are to one whose Append is waited for, with waitLimit.
	waitsOneIn = 5
	waitLimit  = time.Second
	// appendShare is the share of the load's rate that each program appends.
	appendShare = 0.25
	appendFan   = 10
)

// appender fills the ingress of a program from Go, and writes down what becomes of each record: the file outlives the process.
type appender struct {
	ingress   *embedded.GoIngress[load.Command]
	generator *load.Generator
	file      *os.File
	going     string // a file that is there while records are to be appended
	rate      float64
	open      sync.WaitGroup
}

func newAppender(p program, ingress *embedded.GoIngress[load.Command]) (*appender, error) {
	file, err := os.OpenFile(p.appends, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the file of appends: %w", err)
	}
	return &appender{
		ingress: ingress, generator: appendGenerator(p.seed, p.number), file: file, rate: p.rate,
		going: filepath.Join(p.dir, appendingFile),
	}, nil
}

// appendGenerator makes the records of one process, and knows what they lead to.
func appendGenerator(seed uint64, number int) *load.Generator {
	of := func(name string, targets ...string) load.Ingress {
		return load.Ingress{Topic: fmt.Sprintf("append-%03d-%s", number, name), Partitions: partitions, Targets: targets, Keyed: true}
	}
	g := load.NewGenerator(seed*1000+uint64(number), []load.Ingress{of("a", "a"), of("b", "b"), of("bc", "b", "c"), of("ac", "a", "c")}, keys)
	g.Fan, g.Late, g.Prefix = appendFan, lateDelay, fmt.Sprintf("g%d-", number)
	return g
}

// processNumber is the number that the name of a process' file begins with.
func processNumber(path string) (int, error) {
	digits, _, _ := strings.Cut(filepath.Base(path), "-")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("read the number of the process from %q: %w", path, err)
	}
	return n, nil
}

// feed appends while the file for it is there, and says when all is told.
func (a *appender) feed(ctx context.Context) {
	// At a clean stop too, what was handed over is to become durable.
	lasting, began, n := context.WithoutCancel(ctx), time.Now(), 0
	for a.goesOn() && process.Pause(ctx, loadTick) {
		for due := int(a.rate * time.Since(began).Seconds()); n < due && ctx.Err() == nil; {
			n++
			a.append(lasting, n, a.generator.Next())
		}
	}
	a.open.Wait()
	a.say(wordOver, 0)
}

func (a *appender) goesOn() bool {
	_, err := os.Stat(a.going)
	return err == nil
}

// append appends record n of the process.
func (a *appender) append(ctx context.Context, n int, root load.Root) {
	// BEFORE the record may be durable: one that nobody wrote down would be a stranger.
	a.say(wordTry, n)
	targets := statefun.Header{Key: targetsHeader, Value: []byte(strings.Join(root.Ingress.Targets, ","))}
	if n%waitsOneIn == 0 {
		waiting, cancel := context.WithTimeout(ctx, waitLimit)
		defer cancel()
		a.tell(n, a.ingress.Append(waiting, root.Key, root.Command, targets))
		return
	}
	a.open.Add(1)
	a.ingress.AppendAsync(ctx, root.Key, root.Command, func(err error) {
		defer a.open.Done()
		a.tell(n, err)
	}, targets)
}

func (a *appender) tell(n int, err error) {
	switch {
	case err == nil:
		a.say(wordDurable, n)
	case errors.Is(err, embedded.ErrUncertain):
		a.say(wordUnknown, n)
	default:
		a.say(wordRefused, n)
		fmt.Fprintln(os.Stderr, "append:", err)
	}
}

// say writes a line, in one write.
func (a *appender) say(word string, n int) {
	if _, err := fmt.Fprintf(a.file, "%s %d\n", word, n); err != nil {
		fmt.Fprintln(os.Stderr, "append:", err)
	}
}
