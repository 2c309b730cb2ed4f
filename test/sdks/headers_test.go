package sdks

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// headerCase is a record with headers, and what its function shows of them. In want, ORIGIN is the place of the record.
type headerCase struct {
	name    string
	topic   func(SDK) string
	send    string
	want    []string
	written bool // the record that is written has the headers and the time of the one that was read
}

// carried are the headers of the records: one name twice, an empty value and none.
var carried = []kgo.RecordHeader{
	{Key: "trace", Value: []byte("1")}, {Key: "trace", Value: []byte("2")}, {Key: "empty", Value: []byte{}}, {Key: "none"},
}

const (
	carriedText = `headers trace="1",trace="2",empty="",none=null`
	lastText    = `last trace="2" true`
	nowhere     = "origin /-1/-1 at none"
)

var headerCases = []headerCase{
	{name: "received", topic: headersTopic, send: "headers trace;origin", want: []string{carriedText, lastText, "ORIGIN"}},
	{name: "received-by-a-call-that-is-made-again", topic: headersTopic, send: "fail headers 1;headers trace;origin",
		want: []string{carriedText, lastText, "ORIGIN"}},
	{name: "not-forwarded", topic: inTopic, send: "headers trace;origin", want: []string{"headers ", "last trace=null false", nowhere}},
	{name: "sent-to-another", topic: headersTopic, send: "pass 0 other %-peer headers+trace,origin",
		want: []string{"@peer " + carriedText, "@peer " + lastText, "@peer " + nowhere}},
	{name: "sent-later", topic: headersTopic, send: "pass 200 other %-peer headers+trace,origin",
		want: []string{"@peer " + carriedText, "@peer " + lastText, "@peer " + nowhere}},
	{name: "passed-on-as-it-came", topic: headersTopic, send: "relay other %-peer;headers trace;origin",
		want: []string{carriedText, lastText, "ORIGIN", "@peer " + carriedText, "@peer " + lastText, "@peer ORIGIN"}},
	{name: "written", topic: headersTopic, send: "copy text", want: []string{"text"}, written: true},
}

// headers follows headers from ingress records through functions to egress records.
func (s *stage) headers(ctx context.Context) error {
	for _, c := range headerCases {
		if err := s.headerCase(ctx, c); err != nil {
			return fmt.Errorf("headers %s: %w", c.name, err)
		}
	}
	return nil
}

func (s *stage) headerCase(ctx context.Context, c headerCase) error {
	id := "headers-" + c.name
	// Not the time of its arrival, and no time that the topic's retention deletes.
	record := &kgo.Record{Topic: c.topic(s.sdk), Key: []byte(id), Value: scriptValue(id, c.send), Headers: carried,
		Timestamp: time.Now().Add(-time.Hour).Truncate(time.Millisecond)}
	if err := s.cluster.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return err
	}
	origin := fmt.Sprintf("origin %s/%d/%d at %d", record.Topic, record.Partition, record.Offset, record.Timestamp.UnixMilli())
	st := step{}
	for _, line := range c.want {
		st.want = append(st.want, strings.Replace(line, "ORIGIN", origin, 1))
	}
	ids, _ := s.expect(id, st)
	if err := s.await(ctx, ids, nil); err != nil || !c.written {
		return err
	}
	written := s.reader.Of(outTopic(s.sdk), id)[0]
	same := func(a, b kgo.RecordHeader) bool {
		return a.Key == b.Key && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil)
	}
	if !slices.EqualFunc(written.Headers, carried, same) || !written.Timestamp.Equal(record.Timestamp) {
		return fmt.Errorf("the written record has the headers %q and the time %s, not %q and %s",
			written.Headers, written.Timestamp, carried, record.Timestamp)
	}
	return nil
}
