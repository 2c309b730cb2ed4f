package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ledger is what everybody has used at one moment, so that the difference at another tells who used what.
type ledger struct {
	process, function, broker, self time.Duration
	busy, all                       time.Duration // of the machine
	peakRSS                         int64         // of the process
}

// ledger reads the books of a run. Before the process starts, its share is 0.
func (r *run) ledger() (ledger, error) {
	var l ledger
	if r.process != nil {
		u, err := r.process.usage()
		if err != nil {
			return l, err
		}
		l.process, l.peakRSS = u.CPU, u.PeakRSS
	}
	if r.function != nil {
		u, err := r.function.usage()
		if err != nil {
			return l, err
		}
		l.function = u.CPU
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return l, fmt.Errorf("read what this process used: %w", err)
	}
	l.self = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	l.broker = r.lab.brokerCPU()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return l, err
	}
	l.busy, l.all, err = parseMachine(string(b))
	return l, err
}

// parseMachine returns busy and whole processor time of all cores from the text of /proc/stat.
// Time that the hypervisor gave to somebody else counts as busy.
func parseMachine(s string) (busy, all time.Duration, err error) {
	line, _, _ := strings.Cut(s, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("read /proc/stat: its first line is %q", line)
	}
	// user, nice, system, idle, iowait, irq, softirq, steal; the guests' time behind them is in user already.
	for i, text := range f[1:9] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		all += time.Duration(n) * tick
		if i != 3 && i != 4 {
			busy += time.Duration(n) * tick
		}
	}
	return busy, all, nil
}

// enter writes into res what n inputs cost between the two ledgers. startUp is taken off the system's own share.
func (l ledger) enter(res *result, before ledger, n int, startUp time.Duration) {
	micros := func(d time.Duration) float64 { return float64(max(0, d)) / float64(time.Microsecond) / float64(n) }
	process, function := l.process-before.process, l.function-before.function
	broker, self := l.broker-before.broker, l.self-before.self
	res.CPUMicros = micros(process - startUp)
	res.FunctionMicros = micros(function)
	res.BrokerMicros = micros(broker)
	res.PeakRSSMiB = float64(l.peakRSS) / (1 << 20)
	if all := l.all - before.all; all > 0 {
		res.Busy = float64(l.busy-before.busy) / float64(all)
		res.Others = max(0, float64(l.busy-before.busy-process-function-broker-self)/float64(all))
	}
}
