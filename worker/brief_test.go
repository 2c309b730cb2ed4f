package worker

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// faulty is an error that cannot be told, as a nil pointer is that a program returns as an error.
type faulty struct{ text string }

func (f *faulty) Error() string { return f.text }

func TestALineOfTheLogIsCutAndNeverEndsTheProgram(t *testing.T) {
	long := strings.Repeat("é", briefBytes)
	for name, test := range map[string]struct {
		value any
		want  string
	}{
		"an error that panics": {(*faulty)(nil), "<nil>"},
		"a long error":         {errors.New(long), "… (16384 bytes)"},
		"a long text":          {long, "… (16384 bytes)"},
		"a short error":        {&faulty{"short"}, "short"},
	} {
		var out strings.Builder
		log := slog.New(brief{slog.NewTextHandler(&out, nil)})
		log.With("worker", "w1").WithGroup("g").Info("line", "error", test.value)
		if got := out.String(); !strings.Contains(got, test.want) || !strings.Contains(got, "worker=w1 g.error=") || len(got) > 2*briefBytes {
			t.Errorf("%s: %d bytes: %.200s", name, len(got), got)
		}
	}
}
