package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// lookAgain is how often a log is read for what was added to it.
const lookAgain = 10 * time.Millisecond

// scan visits the whole lines of a log from an offset until visit says that it has seen enough, and returns the offset
// behind the last one.
func scan(log string, from int64, visit func(line string) (enough bool)) (next int64) {
	file, err := os.Open(log)
	if err != nil {
		return from
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return from
	}
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return from // what has no end yet is read again
		}
		from += int64(len(line))
		if visit(strings.TrimSuffix(line, "\n")) {
			return from
		}
	}
}

// HoldsAll says whether a line holds all the parts.
func HoldsAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// Find is the first log line that holds all the parts, or empty.
func (p *Process) Find(parts ...string) string {
	line, _ := p.findFrom(0, parts)
	return line
}

func (p *Process) findFrom(from int64, parts []string) (found string, next int64) {
	next = scan(p.Log, from, func(line string) bool {
		if HoldsAll(line, parts) {
			found = line
		}
		return found != ""
	})
	return found, next
}

// Count says how many log lines hold all the parts.
func (p *Process) Count(parts ...string) (n int) {
	scan(p.Log, 0, func(line string) bool {
		if HoldsAll(line, parts) {
			n++
		}
		return false
	})
	return n
}

// Await waits for a log line that holds all the parts; it is empty when the process ends or the limit passes before.
func (p *Process) Await(ctx context.Context, limit time.Duration, parts ...string) string {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var line string
	var next int64
	for {
		over := p.Ended() || ctx.Err() != nil // asked before looking: the line may be the last one
		if line, next = p.findFrom(next, parts); line != "" || over {
			return line
		}
		Pause(ctx, lookAgain)
	}
}

// Tail is the end of the log, for messages.
func (p *Process) Tail(lines int) string { return Tail(p.Log, lines) }

// Tail is the end of a log file, for messages.
func Tail(log string, lines int) string {
	const most = 32 << 10
	file, err := os.Open(log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	end, err := file.Seek(0, io.SeekEnd)
	_, err2 := file.Seek(max(0, end-most), io.SeekStart)
	text, err3 := io.ReadAll(file)
	if err := errors.Join(err, err2, err3); err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Attribute is a text attribute of a JSON log line; empty when it has none of that name.
func Attribute(line, name string) string {
	fields := map[string]any{}
	if json.Unmarshal([]byte(line), &fields) != nil {
		return ""
	}
	text, _ := fields[name].(string)
	return text
}
