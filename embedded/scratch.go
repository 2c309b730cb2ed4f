package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The state of an application on a development broker is of no use after its end. It lies in the folder for temporary files:
//
//	statefun-dev-UID/        only this user's
//	  guard                  locked while somebody makes a folder here, or sweeps
//	  APPLICATION-RANDOM/    of one run
//	    in-use               locked by its process for as long as that lives, however it ends
//	    state/
//
// What is not locked was left behind by a process that was killed, and the next one sweeps it.
const (
	guardFile = "guard"
	inUseFile = "in-use"
)

// scratch makes a folder for the state of one run; remove takes it away.
func scratch(id string) (dir string, remove func(), err error) {
	root := filepath.Join(os.TempDir(), fmt.Sprintf("statefun-dev-%d", os.Getuid()))
	own, held, err := claim(root, id)
	for range 10 { // somebody who leaves may take the root away in between
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		own, held, err = claim(root, id)
	}
	if err != nil { // no locks here, or another's folder has the name: then nobody sweeps either
		if own, err = os.MkdirTemp("", "statefun-dev-"); err != nil {
			return "", nil, err
		}
	}
	return filepath.Join(own, "state"), func() {
		_ = os.RemoveAll(own)
		if held != nil {
			_ = held.Close() // AFTER the removal: a sweep leaves alone what is locked
			leave(root)
		}
	}, nil
}

// leave takes the root away when nothing else is in it.
func leave(root string) {
	guard, err := enter(root)
	if err != nil {
		return // another one has taken it away
	}
	defer guard.Close()
	if entries, err := os.ReadDir(root); err == nil && len(entries) == 1 {
		_ = os.RemoveAll(root)
	}
}

// enter takes the guard of a root.
func enter(root string) (*os.File, error) {
	for {
		guard, err := os.OpenFile(filepath.Join(root, guardFile), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lockWaiting(guard); err != nil {
			return nil, errors.Join(err, guard.Close())
		}
		// It may have been taken away, with the root, while it was waited for.
		there, gone := os.Stat(guard.Name())
		if mine, err := guard.Stat(); err == nil && gone == nil && os.SameFile(mine, there) {
			return guard, nil
		}
		if err := guard.Close(); err != nil {
			return nil, err
		}
	}
}

// claim sweeps the root and makes a folder in it that this process holds.
func claim(root, id string) (own string, held *os.File, err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", nil, err
	}
	if info, err := os.Lstat(root); err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !mine(info) {
		return "", nil, errors.Join(err, fmt.Errorf("%s is not this user's alone", root))
	}
	guard, err := enter(root)
	if err != nil {
		return "", nil, err
	}
	defer guard.Close()
	sweep(root)
	if own, err = os.MkdirTemp(root, filepath.Base(id)+"-"); err != nil {
		return "", nil, err
	}
	if held, err = os.OpenFile(filepath.Join(own, inUseFile), os.O_CREATE|os.O_RDWR, 0o600); err == nil {
		err = lockNow(held)
	}
	return own, held, err
}

// sweep removes what nobody holds. Whoever has the guard is the only one that makes folders, so one without its file was left
// in the middle of its removal.
func sweep(root string) {
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		folder := filepath.Join(root, e.Name())
		f, err := os.OpenFile(filepath.Join(folder, inUseFile), os.O_RDWR, 0)
		if err == nil {
			err = lockNow(f)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			_ = os.RemoveAll(folder)
		}
		if f != nil {
			_ = f.Close()
		}
	}
}
