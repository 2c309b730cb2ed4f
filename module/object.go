package module

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// An object is a map of a module file. Its methods read one key each: they return the default when the
// key is missing, and note a problem and return the default when its value is wrong. Which keys were
// asked for is remembered, so that done can name the ones that nobody knows.
type object struct {
	node
	fields map[string]field
	order  []string // keys in the order of the file
	known  []string // keys that were asked for
}

// A field is one key of an object with its value; at is where the key stands.
type field struct {
	node
	key   string
	at    Position
	depth int // how many merges the key came through
}

// lookup returns the value of a key that is given and not null.
func (o *object) lookup(key string) (node, bool) {
	if !slices.Contains(o.known, key) {
		o.known = append(o.known, key)
	}
	f, ok := o.fields[key]
	return f.node, ok && !f.isNull()
}

// where returns where the value of a key stands, or the object when it is missing.
func (o *object) where(key string) Position {
	if n, ok := o.lookup(key); ok {
		return n.at
	}
	return o.at
}

// blame notes a problem of the value of a key.
func (o *object) blame(key, message, hint string) {
	o.r.report(o.where(key), join(o.path, key)+": "+message, hint)
}

// require notes a problem for each key that is missing.
func (o *object) require(keys ...string) {
	for _, key := range keys {
		if _, ok := o.lookup(key); !ok {
			o.report(fmt.Sprintf("missing key %q", key), o.misspelt(key))
		}
	}
}

// misspelt returns a hint when another key looks like the missing one.
func (o *object) misspelt(missing string) string {
	if near := Nearest(missing, o.order); near != "" && o.fields[near].isNull() {
		return fmt.Sprintf("the value of %q is empty", near)
	}
	return ""
}

// done notes a problem for every key that was never asked for.
func (o *object) done() {
	for _, key := range o.order {
		if slices.Contains(o.known, key) {
			continue
		}
		o.r.unknown(o.fields[key].at, o.named(fmt.Sprintf("unknown key %q", key)), didYouMean(key, o.known))
	}
}

// noEffect warns of a key that is allowed but does nothing here.
func (o *object) noEffect(key, why string) {
	if _, ok := o.lookup(key); ok {
		o.r.warn(o.fields[key].at, o.named(fmt.Sprintf("%q has no effect: %s", key, why)), "")
	}
}

// misplaced explains a key that people put here although it belongs elsewhere.
func (o *object) misplaced(key, hint string) {
	if _, ok := o.lookup(key); ok {
		o.r.unknown(o.fields[key].at, o.named(fmt.Sprintf("unknown key %q", key)), hint)
	}
}

// read returns the value of a key as parse understands its text.
func read[T any](o *object, key string, otherwise T, parse func(string) (T, error)) T {
	n, ok := o.lookup(key)
	if !ok {
		return otherwise
	}
	text, ok := n.text()
	if !ok {
		return otherwise
	}
	v, err := parse(text)
	if err != nil {
		n.report(err.Error(), "")
		return otherwise
	}
	return v
}

// text reads text that must not be empty.
func (o *object) text(key, otherwise string) string {
	return read(o, key, otherwise, func(s string) (string, error) {
		if s == "" {
			return "", fmt.Errorf("must not be empty")
		}
		return s, nil
	})
}

func (o *object) duration(key string, otherwise time.Duration) time.Duration {
	return read(o, key, otherwise, ParseDuration)
}

// positive is duration for a time that must not be zero.
func (o *object) positive(key string, otherwise time.Duration) time.Duration {
	return read(o, key, otherwise, func(s string) (time.Duration, error) {
		d, err := ParseDuration(s)
		if err == nil && d == 0 {
			err = fmt.Errorf("must be longer than zero")
		}
		return d, err
	})
}

func (o *object) memory(key string, otherwise int64) int64 {
	return read(o, key, otherwise, func(s string) (int64, error) {
		size, err := ParseMemory(s)
		if err == nil && size == 0 {
			err = fmt.Errorf("must be larger than zero")
		}
		return size, err
	})
}

// A span is the range that a whole number must lie in.
type span struct{ from, to int64 }

func (o *object) number(key string, otherwise int64, within span) int64 {
	return read(o, key, otherwise, func(s string) (int64, error) {
		v, err := parseWhole(s)
		if err == nil && (v < within.from || v > within.to) {
			err = fmt.Errorf("%d is out of range: %d to %d", v, within.from, within.to)
		}
		return v, err
	})
}

func (o *object) flag(key string, otherwise bool) bool {
	return read(o, key, otherwise, func(s string) (bool, error) {
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, fmt.Errorf("%q must be true or false", s)
	})
}

func (o *object) typename(key string) protocol.TypeName {
	return read(o, key, protocol.TypeName{}, o.r.parseName)
}

// folded is oneOf for what the legacy format takes in any case.
func (o *object) folded(key, otherwise string, words ...string) string {
	return o.choose(key, otherwise, o.r.version != "", words)
}

// oneOf reads one of the words; case counts.
func (o *object) oneOf(key, otherwise string, words ...string) string {
	return o.choose(key, otherwise, false, words)
}

func (o *object) choose(key, otherwise string, fold bool, words []string) string {
	n, ok := o.lookup(key)
	if !ok {
		return otherwise
	}
	text, ok := n.text()
	if fold {
		text = strings.ToLower(text)
	}
	switch {
	case !ok:
		return otherwise
	case slices.Contains(words, text):
		return text
	}
	n.report(fmt.Sprintf("%q is unknown: use %s", text, choice(words)), didYouMean(text, words))
	return otherwise
}

// child reads a map; nil when the key is missing.
func (o *object) child(key string) *object {
	n, ok := o.lookup(key)
	if !ok {
		return nil
	}
	return n.object()
}

// children reads a list; empty when the key is missing.
func (o *object) children(key string) []node {
	n, ok := o.lookup(key)
	if !ok {
		return nil
	}
	return n.list()
}

// pairs reads a list of maps of one key each. Of a map with more keys StateFun reads the first only.
func (o *object) pairs(key string) []field {
	var fields []field
	for _, n := range o.children(key) {
		entry := n.object()
		for i, name := range entry.order {
			if i > 0 {
				message := entry.named(fmt.Sprintf("%q is a second key in one list element", name))
				o.r.unknown(entry.fields[name].at, message, "begin its line with - too")
				continue
			}
			fields = append(fields, entry.fields[name])
		}
	}
	return fields
}

// properties reads the properties list of an ingress or egress. Of a name given twice the later one counts.
func (o *object) properties() []Property {
	var list []Property
	for _, f := range o.pairs("properties") {
		p := Property{Key: f.key, Position: f.at}
		if !f.isNull() {
			text, ok := f.text()
			if !ok {
				continue
			}
			p.Value = text
		}
		list = slices.DeleteFunc(list, func(e Property) bool { return e.Key == p.Key })
		list = append(list, p)
	}
	return list
}
