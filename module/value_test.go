package module

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestF20Durations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1minute": time.Minute, "10second": 10 * time.Second, "60000millisecond": time.Minute,
		"1 min": time.Minute, "5000": 5 * time.Second, " 7  H ": 7 * time.Hour, "2days": 48 * time.Hour, "3m": 3 * time.Minute,
		"4µs": 4 * time.Microsecond, "5 MicroSeconds": 5 * time.Microsecond, "6ns": 6, "0": 0, "9223372036854775807ns": 1<<63 - 1,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "s", "-5s", "+5s", "1.5s", "1h30m", "PT5S", "5 parsecs", "9223372036854775808ns", "9223372036854775807s", "1 2"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestMemorySizes(t *testing.T) {
	for text, want := range map[string]int64{"32 mb": 32 << 20, "1024": 1024, "5B": 5, "6 bytes": 6, "1k": 1024, "2KiB": 2048, "3 kibibytes": 3072, "1g": 1 << 30, "1 tebibytes": 1 << 40} {
		if got, err := ParseMemory(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "mb", "-1", "1.5g", "5 pb", "9223372036854775807k"} {
		if got, err := ParseMemory(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"topics", "topic", "targets", "valueType", "id"}
	for word, want := range map[string]string{
		"topcis": "topics", "topik": "topic", "TARGETS": "targets", "valuetype": "valueType", "value_type": "valueType",
		"colour": "", "x": "", "": "", "ids": "id", "targest": "targets",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestSecretsOfPropertiesAreNeverShown(t *testing.T) {
	for _, key := range []string{"sasl.jaas.config", "ssl.key.password", "ssl.keystore.key", "my.secret.key", "a.token"} {
		p := Property{Key: key, Value: "hush"}
		in := Ingress{Properties: []Property{p}, Startup: Startup{Offsets: map[TopicPartition]int64{{"a/b", 1}: 5}}}
		encoded, err := json.Marshal(in)
		if err != nil || !strings.Contains(string(encoded), `"a/b/1":5`) {
			t.Fatalf("%s, %v", encoded, err)
		}
		if all := fmt.Sprintf("%v %+v %#v %v %+v %#v %s", p, p, p, in, in, in, encoded); strings.Contains(all, "hush") {
			t.Errorf("%s is shown: %s", key, all)
		}
	}
	if got := (Property{Key: "linger.ms", Value: "5"}).String(); got != "linger.ms=5" {
		t.Errorf("got %q", got)
	}
}
