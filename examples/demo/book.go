package main

import (
	"fmt"
	"regexp"
	"strconv"
)

// greetingLine is a record of the topic greetings as tail prints it, key=value.
var greetingLine = regexp.MustCompile(`^([^=]+)=Hello (\S+), visit number (\d+)$`)

// book keeps the count that each name's last greeting had.
type book struct{ counts map[string]int }

func newBook(names []string) *book {
	b := &book{counts: map[string]int{}}
	for _, name := range names {
		b.counts[name] = 0
	}
	return b
}

// enter takes the next greeting; its count must be the one after the last of its name. A lower one is an effect
// that came twice, a higher one an effect that was lost.
func (b *book) enter(greeting string) error {
	m := greetingLine.FindStringSubmatch(greeting)
	if m == nil || m[1] != m[2] {
		return fmt.Errorf("%q is no greeting", greeting)
	}
	last, known := b.counts[m[1]]
	if !known {
		return fmt.Errorf("greeting for %s, who was never sent", m[1])
	}
	count, err := strconv.Atoi(m[3])
	if err != nil {
		return fmt.Errorf("read the count of %q: %w", greeting, err)
	}
	if count != last+1 {
		return fmt.Errorf("greeting number %d for %s follows number %d", count, m[1], last)
	}
	b.counts[m[1]] = count
	return nil
}

func (b *book) total() int {
	sum := 0
	for _, n := range b.counts {
		sum += n
	}
	return sum
}
