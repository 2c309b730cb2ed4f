package state

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// fullDisk is a file system on which the files with that ending can not be written any more once it is on.
func fullDisk(ending string) (vfs.FS, *errorfs.Toggle) {
	full := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, ending) {
			return &errFull{path: op.Path}
		}
		return nil
	})}
	return errorfs.Wrap(vfs.NewMem(), full), full
}

type errFull struct{ path string }

func (e *errFull) Error() string { return "write " + e.path + ": " + syscall.ENOSPC.Error() }
func (e *errFull) Unwrap() error { return syscall.ENOSPC }

func TestAFullDiskIsAnErrorThatNamesTheFolder(t *testing.T) {
	for what, ending := range map[string]string{"a table": ".sst", "the manifest": "MANIFEST"} {
		t.Run(what, func(t *testing.T) {
			fs, full := fullDisk(ending)
			s, err := Open(Options{Dir: "state", FS: fs, ApplicationID: "app", MemTableBytes: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			mustApply(t, s, Change{Rows: []Row{row("k", "v")}, Position: at(1)})
			full.On()
			for n := int64(2); err == nil; n++ {
				err = s.Apply([]Change{{Rows: []Row{row(fmt.Sprint(n), strings.Repeat("v", 10_000))}, Position: at(n)}})
			}
			for _, want := range []string{"state folder state", "disk is full", "nothing is lost"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if !errors.Is(err, syscall.ENOSPC) || !errors.Is(s.Pressure().Err, syscall.ENOSPC) {
				t.Errorf("the cause is lost: %#v", err)
			}
			full.Off() // Pebble tries for ever to write what it has
			<-s.Failed()
			if again := s.Apply(nil); again == nil {
				t.Error("it goes on after that")
			}
			if got, err := s.Get(0, []byte("k")); err != nil || string(got) != "v" {
				t.Errorf("reads go on: %q, %v", got, err)
			}
			if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestAFolderOnAFullDiskIsRefused(t *testing.T) {
	for what, ending := range map[string]string{"the identity": identityFile, "the manifest": "MANIFEST"} {
		t.Run(what, func(t *testing.T) {
			fs, full := fullDisk(ending)
			full.On()
			_, err := Open(Options{Dir: "state", FS: fs, ApplicationID: "app"})
			if err == nil || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "state folder state") ||
				!strings.Contains(err.Error(), "disk is full") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestADamagedStoreIsRefusedWithTheWayOut(t *testing.T) {
	o := written(t)
	names, err := o.FS.List("state/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST") {
			writeText(t, o, "db/"+name, "not a manifest")
		}
	}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "state folder state") || !strings.Contains(err.Error(), "remove the folder") {
		t.Errorf("%v", err)
	}
}
