package sdks

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// installer puts packages below one folder.
type installer struct {
	ctx     context.Context
	cache   string // folder of all installs
	sources string // the folder functions
}

// Install gets the packages of all SDKs, those that are missing; sources is the folder functions of this package.
// Test packages and targets may run at once: the first takes the lock, the others wait for it.
func Install(ctx context.Context, sources string) (map[string]program, error) {
	programs := map[string]program{}
	err := withInstaller(ctx, sources, func(i *installer) error {
		for _, sdk := range All() {
			if sdk.install == nil {
				continue
			}
			p, err := sdk.install(i)
			if err != nil {
				return fmt.Errorf("install %s: %w", sdk.Package, err)
			}
			programs[sdk.Name] = p
		}
		return nil
	})
	return programs, err
}

// Python is an interpreter that has the official Python SDK and aiohttp, installed if it is missing.
func Python(ctx context.Context) (interpreter string, err error) {
	err = withInstaller(ctx, "", func(i *installer) error {
		interpreter, err = i.interpreter(officialPython)
		return err
	})
	return interpreter, err
}

// withInstaller holds the lock for as long as something is installed.
func withInstaller(ctx context.Context, sources string, install func(i *installer) error) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("find the cache folder for the SDKs: %w", err)
	}
	if sources, err = filepath.Abs(sources); err != nil {
		return fmt.Errorf("find the SDKs' programs: %w", err)
	}
	i := &installer{ctx: ctx, cache: filepath.Join(cache, "statefun-kafka", "sdks"), sources: sources}
	unlock, err := i.lock()
	if err != nil {
		return err
	}
	return errors.Join(install(i), unlock())
}

// lock takes an exclusive lock that the system drops when this process ends.
func (i *installer) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(i.cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder of the SDKs: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(i.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the SDKs: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the SDKs' cache: %w", err), f.Close())
	}
	return f.Close, nil
}

// folder is the folder of an install, filled if it is not there. The recipe is all that decides what lies in it: its hash
// is part of the name, so that a changed recipe gets a folder of its own. What is interrupted leaves a folder that nobody
// looks at: only a whole one gets its name.
func (i *installer) folder(name, recipe string, fill func(folder string) error) (string, error) {
	final := filepath.Join(i.cache, fmt.Sprintf("%s-%x", name, sha256.Sum256([]byte(recipe)))[:len(name)+9])
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	unfinished := filepath.Join(i.cache, "unfinished-"+name)
	if err := os.RemoveAll(unfinished); err != nil {
		return "", fmt.Errorf("clear what an interrupted install left: %w", err)
	}
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of %s: %w", name, err)
	}
	if err := fill(unfinished); err != nil {
		return "", err
	}
	if err := os.Rename(unfinished, final); err != nil {
		return "", fmt.Errorf("name the folder of %s: %w", name, err)
	}
	return final, nil
}

// need finds a tool, or names it and what it is for.
func need(tool, what string) error {
	if _, err := exec.LookPath(tool); err != nil {
		return fmt.Errorf("look for %s, which %s: %w: install it and run this again", tool, what, err)
	}
	return nil
}

// run runs a client; env is added to this program's own.
func (i *installer) run(folder string, env []string, tool string, args ...string) error {
	cmd := exec.CommandContext(i.ctx, tool, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	// A client that leaves children behind must not hold this program up when it is interrupted.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s %s: %w\n%s", tool, strings.Join(args, " "), err, out)
	}
	return nil
}

// copyFile copies a file of a program into an install.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read a program of the suite: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", to, err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		return fmt.Errorf("copy a program of the suite: %w", err)
	}
	return nil
}
