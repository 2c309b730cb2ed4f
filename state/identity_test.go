package state

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// written opens a store of a cluster, writes a row and closes it.
func written(t *testing.T) Options {
	t.Helper()
	o := inMemory()
	o.ClusterID, o.WorkerID = "cluster-1", "w-0"
	s := mustOpen(t, o)
	mustApply(t, s, Change{Rows: []Row{row("k", "v")}, Position: at(1)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func writeText(t *testing.T, o Options, name, text string) {
	t.Helper()
	f := folder{fs: o.FS, dir: o.Dir}
	if err := f.writeFile(f.path(name), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for fact, c := range map[string]struct {
		change func(t *testing.T, o *Options)
		want   []string // all of them in the error: the thing and the way out
	}{
		"a folder of another application": {
			func(_ *testing.T, o *Options) { o.ApplicationID = "other" },
			[]string{"state", `"app"`, `"other"`, "--state-dir"}},
		"a folder of another cluster": {
			func(_ *testing.T, o *Options) { o.ClusterID = "cluster-2" },
			[]string{"state", "cluster-1", "cluster-2", "--brokers", "--state-dir"}},
		"a folder of a later format": {
			func(t *testing.T, o *Options) { writeText(t, *o, identityFile, `{"format":2,"applicationId":"app"}`) },
			[]string{"state", "format 2", "format 1", "remove"}},
		"an identity that is no JSON": {
			func(t *testing.T, o *Options) { writeText(t, *o, identityFile, `{"for`) },
			[]string{"state", identityFile, "remove"}},
		"rows without an identity": {
			func(t *testing.T, o *Options) {
				if err := o.FS.Remove("state/" + identityFile); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"state", identityFile, "remove", "--state-dir"}},
		"no folder":      {func(_ *testing.T, o *Options) { o.Dir = "" }, []string{"required"}},
		"no application": {func(_ *testing.T, o *Options) { o.ApplicationID = "" }, []string{"required"}},
	} {
		t.Run(fact, func(t *testing.T) {
			right := written(t)
			o := right
			c.change(t, &o)
			s, err := Open(o)
			if err == nil {
				t.Fatal(errors.Join(errors.New("opened"), s.Close()))
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestARefusedFolderIsLeftAsItWas(t *testing.T) {
	o := written(t)
	other := o
	other.ApplicationID = "other"
	if _, err := Open(other); err == nil {
		t.Fatal("opened")
	}
	s := mustOpen(t, o)
	if got := dump(t, s, 0, nil, nil, 0); !reflect.DeepEqual(got, []string{"k=v"}) {
		t.Error(got)
	}
	if n := len(s.Identity().Earlier); n != 1 {
		t.Errorf("the refused process is among the %d earlier ones", n)
	}
}

func TestAFolderInUseIsRefused(t *testing.T) {
	for where, o := range map[string]Options{"in memory": inMemory(), "on disk": {Dir: t.TempDir(), ApplicationID: "app"}} {
		t.Run(where, func(t *testing.T) {
			s := mustOpen(t, o)
			_, err := Open(o)
			if err == nil || !strings.Contains(err.Error(), o.Dir) || !strings.Contains(err.Error(), "in use by another process") ||
				!strings.Contains(err.Error(), "--state-dir") {
				t.Errorf("the second: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			mustOpen(t, o)
		})
	}
}

func TestAFolderThatCanNotBeMadeIsNamed(t *testing.T) {
	o := inMemory()
	writeText(t, Options{FS: o.FS, Dir: ""}, "file", "")
	o.Dir = "file/state"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "file/state") || !strings.Contains(err.Error(), "--state-dir") {
		t.Error(err)
	}
}

func TestAFolderOfAnotherClusterCanBeWiped(t *testing.T) {
	o := written(t)
	o.ClusterID, o.OtherCluster = "cluster-2", WipeOtherCluster
	s := mustOpen(t, o)
	_, known, err := s.Position(0)
	if got := dump(t, s, 0, nil, nil, 0); len(got) > 0 || known || err != nil {
		t.Errorf("it still has %q, a position: %v, %v", got, known, err)
	}
	if id := s.Identity(); id.ClusterID != "cluster-2" || id.WorkerID != "w-0" {
		t.Errorf("%+v", id)
	}
}

func TestTheSameClusterIsNotWiped(t *testing.T) {
	for fact, cluster := range map[string]string{"the same": "cluster-1", "not known yet": ""} {
		o := written(t)
		o.ClusterID, o.OtherCluster = cluster, WipeOtherCluster
		s := mustOpen(t, o)
		if got := dump(t, s, 0, nil, nil, 0); !reflect.DeepEqual(got, []string{"k=v"}) || s.Identity().ClusterID != "cluster-1" {
			t.Errorf("%s: %q, %+v", fact, got, s.Identity())
		}
	}
}

func TestAFolderOfAnotherApplicationIsNeverWiped(t *testing.T) {
	o := written(t)
	o.ApplicationID, o.ClusterID, o.OtherCluster = "other", "cluster-2", WipeOtherCluster
	if _, err := Open(o); err == nil {
		t.Error("another application's folder was wiped")
	}
}

func TestTheWorkersNameOutlivesIt(t *testing.T) {
	o := inMemory()
	open := func(worker string) Identity {
		o.WorkerID = worker
		s := mustOpen(t, o)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return s.Identity()
	}
	first := open("")
	if !strings.HasPrefix(first.WorkerID, "worker-") || first.PreviousNonce() != "" || first.Nonce == "" {
		t.Errorf("the first: %+v", first)
	}
	second := open("")
	if second.WorkerID != first.WorkerID || second.PreviousNonce() != first.Nonce || second.Nonce == first.Nonce {
		t.Errorf("the second: %+v after %+v", second, first)
	}
	third := open("w-0")
	if third.WorkerID != "w-0" || third.PreviousNonce() != second.Nonce {
		t.Errorf("the third: %+v", third)
	}
	fourth := open("")
	if fourth.WorkerID != "w-0" || !fourth.Had(first.Nonce) || !fourth.Had(fourth.Nonce) || fourth.Had("other") || fourth.Had("") {
		t.Errorf("the fourth: %+v", fourth)
	}
}

func TestOnlySoManyNoncesAreKept(t *testing.T) {
	id := Identity{}
	for range keptNonces + 10 {
		id = id.next(Options{})
	}
	if len(id.Earlier) != keptNonces {
		t.Errorf("%d", len(id.Earlier))
	}
}

func TestTheIdentityIsThisText(t *testing.T) {
	o := written(t)
	file, err := o.FS.Open("state/" + identityFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if nonce, ok := got["nonce"].(string); !ok || len(nonce) != 16 {
		t.Errorf("the nonce is %v", got["nonce"])
	}
	delete(got, "nonce")
	want := map[string]any{"format": 1.0, "applicationId": "app", "clusterId": "cluster-1", "workerId": "w-0"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// A power loss right after Open has returned leaves the identity; one at any time leaves the old or the new one.
func TestTheIdentityOutlivesAPowerLoss(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := Options{Dir: "data/state", FS: mem, ApplicationID: "app", WorkerID: "w-0"}
	first := mustOpen(t, o)
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	second := mustOpen(t, o)
	if got := second.Identity(); got.PreviousNonce() != first.Identity().Nonce || got.WorkerID != "w-0" {
		t.Errorf("%+v after %+v", got, first.Identity())
	}
}

func TestAHalfWrittenIdentityIsNotTakenForOne(t *testing.T) {
	o := written(t)
	writeText(t, o, identityFile+".next", `{"for`)
	s := mustOpen(t, o)
	if _, err := o.FS.Stat("state/" + identityFile + ".next"); !errors.Is(err, fs.ErrNotExist) || s.Identity().WorkerID != "w-0" {
		t.Errorf("%v, %+v", err, s.Identity())
	}
}
