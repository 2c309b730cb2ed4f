package broker

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A data folder holds
//
//	running     locked while a broker uses the folder; removed by a clean stop, so that finding it tells of a kill
//	cluster-id  the identity of the log, made once
//	log/        kfake's own files
type folder struct {
	dir       string
	clusterID string
	unclean   bool     // the last broker here did not stop cleanly
	running   *os.File // holds the lock
}

func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	f := &folder{dir: dir}
	path := filepath.Join(dir, "running")
	if _, err := os.Stat(path); err == nil {
		f.unclean = true
	}
	running, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open data folder %s: %w", dir, err)
	}
	if err := lock(running); err != nil {
		_ = running.Close()
		return nil, fmt.Errorf("data folder %s is in use by another broker: stop that one or choose another folder: %w", dir, err)
	}
	f.running = running
	if f.clusterID, err = readOrMakeClusterID(filepath.Join(dir, "cluster-id")); err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

// release marks the clean stop and lets the next broker in. A nil folder is a broker in memory.
func (f *folder) release() {
	if f == nil {
		return
	}
	// Removed BEFORE the lock goes: after it, the file could be the next broker's.
	_ = os.Remove(f.running.Name())
	_ = f.running.Close()
}

func (f *folder) logDir() string { return filepath.Join(f.dir, "log") }

func readOrMakeClusterID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read cluster id: %w", err)
	}
	id := newClusterID()
	if err := os.WriteFile(path, []byte(id+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("write cluster id: %w", err)
	}
	return id, nil
}

// newClusterID has the form of Kafka's own: 16 random bytes in URL-safe base64.
func newClusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}
