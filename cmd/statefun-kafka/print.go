package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// printText writes key=value lines. What is not of the type that was expected is shown as it is, with the reason; a text that
// would break the line or the terminal is shown in quotes.
func printText(w io.Writer, valueType string) func(*kgo.Record) error {
	return func(r *kgo.Record) error {
		value, err := decodeValue(valueType, r.Value)
		if err != nil {
			raw, _ := decodeValue("", r.Value)
			value = fmt.Sprintf("%s (%v)", onOneLine(raw), err)
		}
		key, _ := decodeValue("", r.Key)
		_, err = fmt.Fprintf(w, "%s=%s\n", onOneLine(key), onOneLine(value))
		return err
	}
}

func onOneLine(text string) string {
	if strings.ContainsFunc(text, func(c rune) bool { return c != '\t' && unicode.IsControl(c) }) {
		return strconv.Quote(text)
	}
	return text
}

// printed is a record as JSON. Bytes that are no text are in the field that ends in base64, and the other one is null, as it
// is for a record that has no key or no value.
type printed struct {
	Topic       string          `json:"topic"`
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Timestamp   string          `json:"timestamp"`
	Key         *string         `json:"key"`
	KeyBase64   string          `json:"keyBase64,omitempty"`
	Value       *string         `json:"value"`
	ValueBase64 string          `json:"valueBase64,omitempty"`
	Error       string          `json:"error,omitempty"`
	Headers     []printedHeader `json:"headers,omitempty"`
}

type printedHeader struct {
	Name        string  `json:"name"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"valueBase64,omitempty"`
}

// printJSON writes an object a line.
func printJSON(w io.Writer, valueType string) func(*kgo.Record) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return func(r *kgo.Record) error {
		out := printed{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(time.RFC3339Nano)}
		out.Key, out.KeyBase64 = jsonText(r.Key)
		out.Value, out.ValueBase64 = jsonText(r.Value)
		if isWrapped(valueType) && r.Value != nil {
			if text, err := decodeValue(valueType, r.Value); err != nil {
				out.Error = err.Error()
			} else {
				out.Value, out.ValueBase64 = &text, ""
			}
		}
		for _, h := range r.Headers {
			header := printedHeader{Name: h.Key}
			header.Value, header.ValueBase64 = jsonText(h.Value)
			out.Headers = append(out.Headers, header)
		}
		return encoder.Encode(out)
	}
}

func jsonText(b []byte) (text *string, inBase64 string) {
	switch {
	case b == nil:
		return nil, ""
	case utf8.Valid(b):
		s := string(b)
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(b)
}
