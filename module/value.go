package module

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// durationUnits are the units of Flink's durations.
var durationUnits = map[string]time.Duration{
	"":  time.Millisecond,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"h": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"ms": time.Millisecond, "milli": time.Millisecond, "millis": time.Millisecond,
	"millisecond": time.Millisecond, "milliseconds": time.Millisecond,
	"µs": time.Microsecond, "μs": time.Microsecond, "micro": time.Microsecond, "micros": time.Microsecond,
	"microsecond": time.Microsecond, "microseconds": time.Microsecond,
	"ns": time.Nanosecond, "nano": time.Nanosecond, "nanos": time.Nanosecond,
	"nanosecond": time.Nanosecond, "nanoseconds": time.Nanosecond,
}

// memoryUnits are the units of Flink's memory sizes, and the two-letter ones of everybody else.
var memoryUnits = map[string]int64{
	"": 1, "b": 1, "bytes": 1,
	"k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "kibibytes": 1 << 10,
	"m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20, "mebibytes": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30, "gibibytes": 1 << 30,
	"t": 1 << 40, "tb": 1 << 40, "tib": 1 << 40, "tebibytes": 1 << 40,
}

// ParseDuration reads a duration as Flink does: a whole number and a unit, milliseconds without one.
func ParseDuration(s string) (time.Duration, error) {
	number, unit, err := splitQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write a whole number and a unit, as 10s, 5 min or 250ms", s)
	}
	size, ok := durationUnits[unit]
	if !ok {
		return 0, fmt.Errorf("duration %q has unknown unit %q: use d, h, min, s, ms, µs or ns", s, unit)
	}
	if number > math.MaxInt64/int64(size) {
		return 0, fmt.Errorf("duration %q is too long: the longest is 292 years", s)
	}
	return time.Duration(number) * size, nil
}

// ParseMemory reads a memory size as Flink does: a whole number and a unit, bytes without one.
func ParseMemory(s string) (int64, error) {
	number, unit, err := splitQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a memory size: write a whole number and a unit, as 64mb or 1 gb", s)
	}
	size, ok := memoryUnits[unit]
	if !ok {
		return 0, fmt.Errorf("memory size %q has unknown unit %q: use b, kb, mb, gb or tb", s, unit)
	}
	if number > math.MaxInt64/size {
		return 0, fmt.Errorf("memory size %q is too large", s)
	}
	return number * size, nil
}

// splitQuantity splits "10 Min" into 10 and "min".
func splitQuantity(s string) (number int64, unit string, err error) {
	s = strings.TrimSpace(s)
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	number, err = strconv.ParseInt(s[:end], 10, 64)
	if err != nil {
		return 0, "", err
	}
	unit = strings.ToLower(strings.TrimSpace(s[end:]))
	if strings.ContainsFunc(unit, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return 0, "", strconv.ErrSyntax
	}
	return number, unit, nil
}

// parseWhole reads a whole number; 5.0 counts as one.
func parseWhole(s string) (int64, error) {
	s = strings.TrimSpace(s)
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return int64(f), nil
}

// startDateLayout is the one form of a start date: three digits behind the second, an offset as +0000.
const startDateLayout = "2006-01-02 15:04:05.000 -0700"

func parseStartDate(s string) (time.Time, error) {
	t, err := time.Parse(startDateLayout, s)
	// time.Parse is more forgiving than Java (one-digit hours); what it accepts must also read back the same.
	if err != nil || t.Format(startDateLayout) != s {
		return time.Time{}, fmt.Errorf("%q is not a start date: write it as 2020-02-01 04:15:00.000 +0000", s)
	}
	return t, nil
}

// choice joins words as "a, b or c".
func choice(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
