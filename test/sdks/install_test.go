package sdks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func testInstaller(t *testing.T) *installer {
	t.Helper()
	return &installer{ctx: t.Context(), cache: t.TempDir(), sources: "functions"}
}

func TestAnInterruptedInstallIsMadeAnew(t *testing.T) {
	i := testInstaller(t)
	interrupted := errors.New("interrupted")
	_, err := i.folder("sdk", "1.0", func(folder string) error {
		return errors.Join(os.WriteFile(filepath.Join(folder, "half"), nil, 0o600), interrupted)
	})
	if !errors.Is(err, interrupted) {
		t.Fatalf("the interruption became %v", err)
	}
	folder, err := i.folder("sdk", "1.0", func(folder string) error { return os.WriteFile(filepath.Join(folder, "whole"), nil, 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 || files[0].Name() != "whole" {
		t.Errorf("the folder holds %v, %v, not what the second install put there alone", files, err)
	}
}

func TestInstallersAtOnceInstallOnce(t *testing.T) {
	shared := testInstaller(t)
	var fills atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			i := *shared
			unlock, err := i.lock()
			if err != nil {
				t.Error(err)
				return
			}
			_, err = i.folder("sdk", "1.0", func(string) error { fills.Add(1); return nil })
			if err := errors.Join(err, unlock()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("%d installers filled the folder, not one", n)
	}
}

func TestAnotherRecipeGetsAFolderOfItsOwn(t *testing.T) {
	i := testInstaller(t)
	nothing := func(string) error { return nil }
	first, err1 := i.folder("sdk", "1.0", nothing)
	second, err2 := i.folder("sdk", "1.1", nothing)
	if err := errors.Join(err1, err2); err != nil || first == second {
		t.Errorf("two recipes share %s (%v)", first, err)
	}
}

func TestAMissingToolIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	i := testInstaller(t)
	for _, sdk := range slices.DeleteFunc(All(), func(s SDK) bool { return s.install == nil }) {
		tool := map[string]string{"go": "go", "java": "javac", "javascript": "node", "rust": "cargo"}[sdk.Name]
		if tool == "" {
			tool = "python3"
		}
		if _, err := sdk.install(i); err == nil || !strings.Contains(err.Error(), tool) {
			t.Errorf("without any tool, installing %s says %v and does not name %s", sdk.Name, err, tool)
		}
	}
}

func TestTheDocumentNamesEverySDK(t *testing.T) {
	text, err := os.ReadFile("../../docs/sdks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, sdk := range All() {
		if !strings.Contains(string(text), sdk.Package) {
			t.Errorf("docs/sdks.md does not name %s", sdk.Package)
		}
	}
	for _, sc := range append(conformance, failures...) {
		for sdk, d := range sc.differs {
			if !strings.Contains(string(text), d.why) {
				t.Errorf("docs/sdks.md does not say how %s differs in %s: %s", sdk, sc.name, d.why)
			}
		}
	}
}
