package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

const (
	// tick is the unit of processor time in /proc: a hundredth of a second on every Linux that Go runs on.
	tick = 10 * time.Millisecond
	// stopGrace is how long a process has from SIGTERM to its end: the worker promises to need ten.
	stopGrace = 15 * time.Second
)

// measured is a program under measure, leader of a process group of its own: all of the group counts.
type measured struct{ *process.Process }

// startMeasured starts cmd with its output in the file log.
func startMeasured(cmd *exec.Cmd, log string) (*measured, error) {
	p, err := process.Start(filepath.Base(cmd.Path), log, cmd)
	if err != nil {
		return nil, err
	}
	return &measured{p}, nil
}

// stop ends the group: by SIGTERM first, so that a system may leave in order, then by force.
func (m *measured) stop() {
	_ = syscall.Kill(-m.PID(), syscall.SIGTERM)
	m.AwaitEnd(stopGrace)
	_ = syscall.Kill(-m.PID(), syscall.SIGKILL)
	<-m.Done()
}

// usage is what the processes of a group have used so far.
type usage struct {
	CPU     time.Duration
	PeakRSS int64 // bytes
}

// usage reads /proc for every member of the group.
func (m *measured) usage() (usage, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return usage{}, err
	}
	var sum usage
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // It ended in between.
		}
		group, cpu, err := parseStat(string(b))
		if err != nil {
			return usage{}, fmt.Errorf("read %s: %w", path, err)
		}
		if group != m.PID() {
			continue
		}
		sum.CPU += cpu
		if b, err = os.ReadFile(filepath.Join(filepath.Dir(path), "status")); err == nil {
			sum.PeakRSS += process.ParsePeak(string(b))
		}
	}
	return sum, nil
}

// parseStat returns process group and processor time, that of ended children included, from the text of /proc/PID/stat.
func parseStat(s string) (group int, cpu time.Duration, err error) {
	// The name in parentheses may hold anything; the fields after it are numbers: state is the third of all.
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 15 {
		return 0, 0, fmt.Errorf("%d fields, want at least 15", len(f))
	}
	if group, err = strconv.Atoi(f[2]); err != nil {
		return 0, 0, err
	}
	for _, ticks := range f[11:15] {
		n, err := strconv.ParseInt(ticks, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		cpu += time.Duration(n) * tick
	}
	return group, cpu, nil
}

// tail is the end of the process' log, for an error.
func (m *measured) tail() string { return m.Tail(8) }
