package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxLineBytes bounds a record that is typed as a line; Kafka's own default for a whole batch is below it.
const maxLineBytes = 4 << 20

// typed is a record as a person gives it.
type typed struct {
	key, value string
	headers    map[string]string
}

// record encodes the value by the topic's type.
func (t typed) record(topic, valueType string) (*kgo.Record, error) {
	value, err := encodeValue(valueType, t.value)
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{Topic: topic, Key: []byte(t.key), Value: value}
	for _, name := range slices.Sorted(maps.Keys(t.headers)) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(t.headers[name])})
	}
	return r, nil
}

// parsePair reads key=value; the value may hold further equals signs.
func parsePair(s string) (typed, error) {
	key, value, found := strings.Cut(s, "=")
	if !found {
		return typed{}, fmt.Errorf("%q is not of the form key=value", s)
	}
	return typed{key: key, value: value}, nil
}

// parseJSON reads {"key": "…", "value": …, "headers": {"…": "…"}}. The value is sent as its compact JSON text. For a wrapped
// type a JSON string stands for its content, because the quotes are no part of an io.statefun.types/string.
func parseJSON(s, valueType string) (typed, error) {
	var in struct {
		Key     *string           `json:"key"`
		Value   json.RawMessage   `json:"value"`
		Headers map[string]string `json:"headers"`
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return typed{}, fmt.Errorf("record %s: %w", s, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return typed{}, fmt.Errorf("record %s: more than one JSON object", s)
	}
	if in.Key == nil || in.Value == nil {
		return typed{}, fmt.Errorf(`record %s: want {"key":"…","value":…}`, s)
	}
	t := typed{key: *in.Key, headers: in.Headers}
	var content string
	if isWrapped(valueType) && json.Unmarshal(in.Value, &content) == nil {
		t.value = content
		return t, nil
	}
	var text bytes.Buffer
	if err := json.Compact(&text, in.Value); err != nil {
		return typed{}, fmt.Errorf("record %s: %w", s, err)
	}
	t.value = text.String()
	return t, nil
}

// readLines reads a record a line: JSON when the line begins with a brace, else key=value. Empty lines are passed over.
func readLines(r io.Reader, valueType string, each func(typed) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLineBytes)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if line == "" {
			continue
		}
		parse := parsePair
		if strings.HasPrefix(line, "{") {
			parse = func(s string) (typed, error) { return parseJSON(s, valueType) }
		}
		t, err := parse(line)
		if err == nil {
			err = each(t)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the records: %w", err)
	}
	return nil
}
