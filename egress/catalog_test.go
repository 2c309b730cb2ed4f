package egress

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	factsAge   = time.Minute
	refusalAge = 10 * time.Second
	lookAge    = time.Second
)

var start = time.Unix(1_700_000_000, 0)

func at(d time.Duration) time.Time { return start.Add(d) }

func newCatalog() *Catalog {
	c := NewCatalog(Options{FactsAge: factsAge, RefusalAge: refusalAge, LookAge: lookAge, MaxTopics: 3})
	c.Reserve("app-mailbox")
	return c
}

// sized returns a record with a key that takes that many bytes.
func sized(topic string, size int) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: make([]byte, size)}
	for Size(r) > size {
		r.Value = r.Value[:len(r.Value)-1]
	}
	if Size(r) != size {
		panic(fmt.Sprintf("no record takes %d bytes", size))
	}
	return r
}

func want(t *testing.T, c *Catalog, r *kgo.Record, now time.Time, outcome Outcome, reason string) {
	t.Helper()
	v := c.Check(r, now)
	if v.Outcome != outcome || (v.Refusal == nil) != (reason == "") || v.Refusal != nil && v.Refusal.Reason != reason {
		t.Fatalf("verdict %+v (%v), want %d %q", v, v.Refusal, outcome, reason)
	}
	if v.Refusal != nil && !strings.Contains(v.Refusal.Error(), r.Topic) {
		t.Fatalf("%v does not name the topic", v.Refusal)
	}
	if outcome == OK && v.Partitions < 1 {
		t.Fatalf("%d partitions", v.Partitions)
	}
}

func TestATopicIsUnknownUntilItIsLookedUpAndAgainWhenThatIsOld(t *testing.T) {
	c, r := newCatalog(), sized("t", 100)
	want(t, c, r, start, Unknown, "")
	c.Learn("t", Facts{Partitions: 2}, start)
	want(t, c, r, start, OK, "")
	want(t, c, r, at(factsAge-1), OK, "")
	want(t, c, r, at(factsAge), Unknown, "")
	c.Learn("t", Facts{Partitions: 2}, at(factsAge))
	want(t, c, r, at(factsAge), OK, "")
	c.Forget("t")
	want(t, c, r, at(factsAge), Unknown, "")
}

func TestFactsThatRefuse(t *testing.T) {
	keyless := &kgo.Record{Topic: "t", Value: []byte("v")}
	tests := []struct {
		name   string
		facts  Facts
		record *kgo.Record
		reason string
		text   string
	}{
		{"no such topic", Facts{Err: kerr.UnknownTopicOrPartition}, keyless, UnknownTopic, "create it"},
		{"no partitions", Facts{}, keyless, UnknownTopic, "create it"},
		{"no right to look", Facts{Err: kerr.TopicAuthorizationFailed}, keyless, NotAuthorized, "grant it Write"},
		{"no right to write", Facts{Partitions: 1, WriteDenied: true}, keyless, NotAuthorized, "grant it Write"},
		{"an error of another kind", Facts{Err: kerr.InvalidTopicException}, keyless, RefusedByTopic, "INVALID_TOPIC"},
		{"a compacted topic without a key", Facts{Partitions: 1, KeyRequired: true}, keyless, KeyRequired, "a key"},
		{"a compacted topic with a key", Facts{Partitions: 1, KeyRequired: true}, sized("t", 100), "", ""},
		{"as large as the topic takes", Facts{Partitions: 1, MaxMessageBytes: 5004}, sized("t", 5000), "", ""},
		{"a byte larger", Facts{Partitions: 1, MaxMessageBytes: 5004}, sized("t", 5001), TooLarge, "has 5001 bytes, the topic takes 5000"},
		{"as large as the producer takes", Facts{Partitions: 1, MaxMessageBytes: 2_000_000}, sized("t", 1_000_008), "", ""},
		{"larger than the producer takes", Facts{Partitions: 1, MaxMessageBytes: 2_000_000}, sized("t", 1_000_009), TooLarge, "max.request.size"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCatalog()
			c.Learn("t", test.facts, start)
			if test.reason == "" {
				want(t, c, test.record, start, OK, "")
				return
			}
			want(t, c, test.record, start, Refused, test.reason)
			v := c.Check(test.record, start)
			if !strings.Contains(v.Refusal.Error(), test.text) {
				t.Errorf("%v does not say %q", v.Refusal, test.text)
			}
			if test.facts.Err != nil && !errors.Is(v.Refusal, test.facts.Err) {
				t.Errorf("%v does not wrap %v", v.Refusal, test.facts.Err)
			}
		})
	}
}

func TestATopicThatIsMissingIsSoonLookedUpAgain(t *testing.T) {
	c, r := newCatalog(), sized("t", 100)
	c.Learn("t", Facts{Err: kerr.UnknownTopicOrPartition}, start)
	want(t, c, r, at(lookAge-1), Refused, UnknownTopic)
	want(t, c, r, at(lookAge), Unknown, "")
}

func TestTheApplicationsOwnTopicsAreRefused(t *testing.T) {
	c := newCatalog()
	c.Learn("app-mailbox", Facts{Partitions: 2}, start)
	want(t, c, sized("app-mailbox", 100), start, Refused, OwnTopic)
}

func TestATopicThatRefusedIsTriedAgainLaterAndLater(t *testing.T) {
	for _, err := range []error{kerr.TopicAuthorizationFailed, kerr.InvalidTopicException, kerr.PolicyViolation, kerr.UnknownTopicOrPartition} {
		c, r, now := newCatalog(), sized("t", 100), start
		for _, pause := range []time.Duration{refusalAge, 2 * refusalAge, 4 * refusalAge, factsAge, factsAge} {
			c.Learn("t", Facts{Partitions: 1}, now)
			want(t, c, r, now, OK, "")
			if !c.Refuse(r, fmt.Errorf("produce: %w", err), now) || !c.Refuse(sized("t", 200), err, now) {
				t.Fatalf("%v is not taken for the record's", err)
			}
			c.Learn("t", Facts{Partitions: 1}, now.Add(pause-1)) // a look-up that does not see the reason
			v := c.Check(r, now.Add(pause-1))
			if v.Outcome != Refused || !errors.Is(v.Refusal, err) {
				t.Fatalf("%v: verdict %+v", err, v)
			}
			now = now.Add(pause)
			want(t, c, sized("other", 100), now, Unknown, "")
		}
		// It has been well for long: the next refusal is a first one.
		now = now.Add(2 * factsAge)
		c.Learn("t", Facts{Partitions: 1}, now)
		c.Refuse(r, err, now)
		want(t, c, r, now.Add(refusalAge), Unknown, "")
	}
}

// The broker refuses a topic's records, or one for its size, what the check knew nothing of. Whoever asks looks it up now
// and then, and takes up again as soon as a look-up shows that the cause is gone.
func TestARefusalEndsWhenALookUpShowsThatItsCauseIsGone(t *testing.T) {
	well := Facts{ID: [16]byte{1}, Partitions: 1, MaxMessageBytes: 1 << 20}
	anew, larger := well, well
	anew.ID, larger.MaxMessageBytes = [16]byte{2}, 2<<20
	for name, test := range map[string]struct {
		fault  error
		facts  []Facts // of the look-ups after it
		record *kgo.Record
		reason string
	}{
		"the topic exists again":          {kerr.UnknownTopicOrPartition, []Facts{{Err: kerr.UnknownTopicOrPartition}, well}, sized("t", 100), UnknownTopic},
		"the topic was created anew":      {kerr.UnknownTopicID, []Facts{anew}, sized("t", 100), UnknownTopic},
		"the right to look is back":       {kerr.TopicAuthorizationFailed, []Facts{{Err: kerr.TopicAuthorizationFailed}, well}, sized("t", 100), NotAuthorized},
		"the right to write is back":      {kerr.TopicAuthorizationFailed, []Facts{{Partitions: 1, WriteDenied: true}, well}, sized("t", 100), NotAuthorized},
		"max.message.bytes was raised":    {kerr.MessageTooLarge, []Facts{larger}, sized("t", 900_000), TooLarge},
		"another topic takes large ones":  {kerr.MessageTooLarge, []Facts{anew}, sized("t", 900_000), TooLarge},
		"another topic takes that record": {kerr.InvalidRecord, []Facts{anew}, sized("t", 100), RefusedByTopic},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := newCatalog(), start
			c.Learn("t", well, now)
			want(t, c, test.record, now, OK, "")
			for range 4 { // it has refused for long
				c.Refuse(test.record, test.fault, now)
				now = now.Add(factsAge)
				c.Learn("t", well, now)
			}
			c.Refuse(test.record, test.fault, now)
			c.Learn("t", well, now)
			want(t, c, test.record, now.Add(lookAge-1), Refused, test.reason)
			for i, facts := range test.facts {
				now = now.Add(lookAge)
				want(t, c, test.record, now, Unknown, "")
				c.Learn("t", facts, now)
				if i < len(test.facts)-1 {
					want(t, c, test.record, now, Refused, test.reason)
				}
			}
			want(t, c, test.record, now, OK, "")
		})
	}
}

func TestAnErrorThatIsNotTheRecordsTeachesNothing(t *testing.T) {
	for _, err := range []error{kerr.NotLeaderForPartition, kerr.ProducerFenced, kerr.InvalidTxnState, kerr.ClusterAuthorizationFailed, kerr.NotEnoughReplicas,
		kerr.CorruptMessage, kgo.ErrAborting, kgo.ErrRecordTimeout, errors.New("connection reset")} {
		c, r := newCatalog(), sized("t", 100)
		c.Learn("t", Facts{Partitions: 1}, start)
		if c.Refuse(r, err, start) {
			t.Errorf("%v is taken for the record's", err)
		}
		want(t, c, r, start, OK, "")
	}
}

func TestALargeRecordThatWasRefusedTeachesTheLimit(t *testing.T) {
	c := newCatalog()
	c.Learn("t", Facts{Partitions: 1}, start)
	large := sized("t", 800_000)
	want(t, c, large, start, OK, "")
	if !c.Refuse(large, fmt.Errorf("%w (uncompressed_bytes=800000)", kerr.MessageTooLarge), start) {
		t.Fatal("not taken for the record's")
	}
	want(t, c, large, start, Unknown, "")
	c.Learn("t", Facts{Partitions: 1}, start)
	want(t, c, large, start, Refused, TooLarge)
	want(t, c, sized("t", 799_999), start, OK, "")
	if got := c.BatchBytes("t", start); got != 799_999+framing {
		t.Errorf("batches of %d bytes", got)
	}
	c.Learn("t", Facts{Partitions: 1}, at(factsAge))
	want(t, c, large, at(factsAge), OK, "")
}

func TestASmallRecordOfABatchThatWasTooLargeIsNotToBlame(t *testing.T) {
	c := newCatalog()
	c.Learn("t", Facts{Partitions: 1}, start)
	for range 100 { // all records of the batch fail together
		c.Refuse(sized("t", 1000), kerr.MessageTooLarge, start)
	}
	c.Learn("t", Facts{Partitions: 1}, start)
	want(t, c, sized("t", 1000), start, OK, "")
	if got := c.BatchBytes("t", start); got != 1_000_008/2+framing {
		t.Errorf("batches of %d bytes, want half of what they were", got)
	}
	// While it goes on the limit falls, until it is the record.
	now := start
	for i := 0; ; i++ {
		if c.Learn("t", Facts{Partitions: 1}, now); c.Check(sized("t", 1000), now).Outcome == Refused {
			break
		}
		if i > 20 {
			t.Fatalf("after %d trials the record still passes", i)
		}
		c.Refuse(sized("t", 1000), kerr.MessageTooLarge, now)
		now = now.Add(lowerPause)
	}
}

func TestATopicThatTakesLessThanItDidExplainsTheRefusal(t *testing.T) {
	c := newCatalog()
	c.Learn("t", Facts{Partitions: 1, MaxMessageBytes: 100_000}, start)
	c.Refuse(sized("t", 90_000), kerr.MessageTooLarge, start)
	want(t, c, sized("t", 1000), start, Unknown, "")
	c.Learn("t", Facts{Partitions: 1, MaxMessageBytes: 95_000}, start)
	want(t, c, sized("t", 94_996), start, OK, "")
	want(t, c, sized("t", 94_997), start, Refused, TooLarge)
}

func TestBatchesFitTheirTopicAndTheBoundsOfTheClient(t *testing.T) {
	c := newCatalog()
	c.Learn("small", Facts{Partitions: 1, MaxMessageBytes: 5000}, start)
	c.Learn("tiny", Facts{Partitions: 1, MaxMessageBytes: 1}, start)
	for name, want := range map[string]int32{"never seen": 1_000_012, "small": 5000, "tiny": 512} {
		if got := c.BatchBytes(name, start); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestARecordThatFailedValidationIsRememberedByItself(t *testing.T) {
	c := newCatalog()
	bad := &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("bad")}
	good := &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("good")}
	shifted := &kgo.Record{Topic: "t", Key: []byte("kb"), Value: []byte("ad")}
	c.Learn("t", Facts{Partitions: 1}, start)
	if !c.Refuse(bad, kerr.InvalidRecord, start) {
		t.Fatal("not taken for the record's")
	}
	want(t, c, bad, start, Refused, RefusedByTopic)
	want(t, c, good, start, OK, "")
	want(t, c, shifted, start, OK, "")
	c.Learn("t", Facts{Partitions: 1}, at(factsAge))
	want(t, c, bad, at(factsAge), OK, "")
}

// What was refused is the timestamp, so the same record at another time is another record. A schema that refuses it
// does so at any time.
func TestATimestampThatWasRefusedIsRememberedWithItsRecord(t *testing.T) {
	timed := func(millis int64) *kgo.Record {
		return &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(millis)}
	}
	untimed := &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("v")}
	c := newCatalog()
	c.Learn("t", Facts{Partitions: 1}, start)
	c.Refuse(timed(1), kerr.InvalidTimestamp, start)
	want(t, c, timed(1), start, Refused, RefusedByTopic)
	want(t, c, timed(2), start, OK, "")
	want(t, c, untimed, start, OK, "")
	c.Refuse(untimed, kerr.InvalidTimestamp, start)
	want(t, c, untimed, start, Refused, RefusedByTopic)
	want(t, c, timed(2), start, OK, "")
	c.Refuse(timed(3), kerr.InvalidRecord, start)
	want(t, c, timed(2), start, Refused, RefusedByTopic)
}

func TestManyRecordsThatFailedValidationAreTheTopics(t *testing.T) {
	c, r := newCatalog(), sized("t", 100)
	c.Learn("t", Facts{Partitions: 1}, start)
	for i := range remembered {
		c.Refuse(&kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte{byte(i)}}, kerr.InvalidRecord, start)
		want(t, c, r, start, OK, "")
	}
	c.Refuse(&kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("one more")}, kerr.InvalidRecord, start)
	want(t, c, r, start, Refused, RefusedByTopic)
}

func TestARecordRefusedForItsMissingKeyTeachesThatKeysAreRequired(t *testing.T) {
	for _, err := range []error{kerr.InvalidRecord, kerr.CorruptMessage} {
		c, keyless := newCatalog(), &kgo.Record{Topic: "t", Value: []byte("v")}
		c.Learn("t", Facts{Partitions: 1}, start)
		if !c.Refuse(keyless, err, start) {
			t.Fatalf("%v is not taken for the record's", err)
		}
		want(t, c, keyless, start, Refused, KeyRequired)
		want(t, c, sized("t", 100), start, OK, "")
		want(t, c, keyless, at(refusalAge), OK, "")
	}
}

func TestTheTableIsBounded(t *testing.T) {
	c := newCatalog()
	c.Learn("brief", Facts{Err: kerr.UnknownTopicOrPartition}, start)
	c.Learn("a", Facts{Partitions: 1}, start)
	c.Learn("b", Facts{Partitions: 1}, at(1))
	c.Learn("c", Facts{Partitions: 1}, at(2)) // makes room by what expires first
	want(t, c, sized("brief", 100), at(2), Unknown, "")
	want(t, c, sized("a", 100), at(2), OK, "")
	c.Learn("d", Facts{Partitions: 1}, at(3))
	want(t, c, sized("a", 100), at(3), Unknown, "")
	want(t, c, sized("b", 100), at(3), OK, "")
	c.Learn("e", Facts{Partitions: 1}, at(2*factsAge)) // makes room by all that has expired
	if c.Len() != 1 {
		t.Errorf("%d topics", c.Len())
	}
}

func TestATopicThatWasMendedIsLookedUpAgainBeforeItsFactsExpire(t *testing.T) {
	c := NewCatalog(Options{})
	now := time.Unix(1000, 0)
	large := &kgo.Record{Topic: "out", Value: make([]byte, 5000)}
	c.Learn("out", Facts{Partitions: 1, MaxMessageBytes: 1000}, now)
	if v := c.Check(large, now.Add(time.Second)); v.Outcome != Refused {
		t.Errorf("a second later: %v, want refused", v.Outcome)
	}
	if v := c.Check(large, now.Add(11*time.Second)); v.Outcome != Unknown {
		t.Errorf("11 seconds later: %v, want a new look-up", v.Outcome)
	}
	c.Learn("out", Facts{Partitions: 1, MaxMessageBytes: 10000}, now.Add(11*time.Second))
	if v := c.Check(large, now.Add(11*time.Second)); v.Outcome != OK {
		t.Errorf("after the topic was mended: %v, want OK", v.Outcome)
	}
}
