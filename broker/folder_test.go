package broker

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUncleanStopIsSaidAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "running"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for i, unclean := range []bool{true, false} {
		log.Reset()
		b, err := Start(Config{DataDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if got := strings.Contains(log.String(), "not stopped cleanly"); got != unclean {
			t.Fatalf("start %d: unclean said %v, want %v:\n%s", i, got, unclean, log.String())
		}
		if !strings.Contains(log.String(), "not durable") {
			t.Fatalf("a data folder is not labelled as not durable:\n%s", log.String())
		}
		if !strings.Contains(log.String(), "broker="+b.Addr()) {
			t.Fatalf("the address is not logged:\n%s", log.String())
		}
	}
}
