package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// headers runs the commands of headers, which no other SDK has.
func (f *function) headers(ctx *statefun.Context, m statefun.Message, command string, words []string) error {
	switch command {
	case "headers":
		var texts []string
		for _, h := range m.Headers() {
			texts = append(texts, h.Key+"="+show(h.Value))
		}
		f.egress(ctx, "headers "+strings.Join(texts, ","))
		if words[0] != "" {
			last, found := m.Header(words[0])
			f.egress(ctx, fmt.Sprintf("last %s=%s %t", words[0], show(last), found))
		}
	case "origin":
		o := m.Origin()
		f.egress(ctx, fmt.Sprintf("origin %s/%d/%d at %s", o.Topic, o.Partition, o.Offset, millis(o.Timestamp)))
	case "copy":
		ctx.Egress(out, statefun.KafkaRecord{Topic: f.topic, Key: ctx.Self().ID, Value: []byte(words[0]),
			Headers: m.Headers(), Timestamp: m.Origin().Timestamp})
	case "pass":
		ms, err := strconv.Atoi(words[0])
		if err != nil {
			return err
		}
		to, script := f.message(ctx, words[1:])
		script = script.WithHeaders(m.Headers()...)
		if ms == 0 {
			ctx.Send(to, script)
		} else {
			ctx.SendAfter(time.Duration(ms)*time.Millisecond, to, script)
		}
	case "relay":
		if _, relayed := ctx.Caller(); !relayed {
			to, _ := f.message(ctx, words)
			ctx.Send(to, m.TypedValue())
		}
	}
	return nil
}

// show is a header's value as text; null is none.
func show(value []byte) string {
	if value == nil {
		return "null"
	}
	return strconv.Quote(string(value))
}

func millis(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}
