package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory is the largest resident size of the process so far, in bytes; 0 where the system does not tell.
func (p *Process) PeakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0
	}
	return ParsePeak(string(status))
}

// ParsePeak is the bytes of VmHWM from the text of /proc/PID/status.
func ParsePeak(status string) int64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
