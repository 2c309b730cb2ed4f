package naming_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/naming"
)

var errLocked = errors.New("locked")

func TestAnErrorNamesTheSettingOfItsReader(t *testing.T) {
	err := fmt.Errorf("open: %w", fmt.Errorf("the folder is in use (%w): give another with %s, or another %s", errLocked, naming.StateDir, naming.WorkerID))
	for _, test := range []struct {
		err  error
		want string
	}{
		{err, "open: the folder is in use (locked): give another with --state-dir / Options.StateDir, or another --worker-id / Options.WorkerID"},
		{naming.ForCommand(err), "open: the folder is in use (locked): give another with --state-dir, or another --worker-id"},
		{naming.ForProgram(err), "open: the folder is in use (locked): give another with Options.StateDir, or another Options.WorkerID"},
	} {
		if test.err.Error() != test.want {
			t.Errorf("it says %q, want %q", test.err, test.want)
		}
		if !errors.Is(test.err, errLocked) {
			t.Errorf("%q has lost its cause", test.err)
		}
	}
}

func TestAnErrorWithoutASettingStaysAsItIs(t *testing.T) {
	tool := errors.New("kafka-topics.sh --partitions 3; statefun-kafka rescale --brokers a:1")
	for _, err := range []error{nil, tool} {
		if got := naming.ForProgram(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
