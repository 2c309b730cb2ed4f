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
)

const (
	// tick is the unit of processor time in /proc: a hundredth of a second on every Linux that Go runs on.
	tick = 10 * time.Millisecond
	// stopGrace is how long a process has from SIGTERM to its end: the worker promises to need ten.
	stopGrace = 15 * time.Second
)

// process is a program under measure, leader of a process group of its own: all of the group counts.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when the leader is gone
	err   error         // of Wait; read after ended
}

// startProcess starts cmd with its output in the file log.
func startProcess(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", cmd.Path, err)
	}
	defer out.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the group: by SIGTERM first, so that a system may leave in order, then by force.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopGrace):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.ended
}

// usage is what the processes of a group have used so far.
type usage struct {
	CPU     time.Duration
	PeakRSS int64 // bytes
}

// usage reads /proc for every member of the group.
func (p *process) usage() (usage, error) {
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
		if group != p.cmd.Process.Pid {
			continue
		}
		sum.CPU += cpu
		if b, err = os.ReadFile(filepath.Join(filepath.Dir(path), "status")); err == nil {
			sum.PeakRSS += parsePeak(string(b))
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

// parsePeak returns the bytes of VmHWM from the text of /proc/PID/status.
func parsePeak(s string) int64 {
	for line := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// tail returns the last lines of the process' log, for an error.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
