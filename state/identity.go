package state

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

const (
	identityFile = "identity.json"
	lockFile     = "lock"
	dbFolder     = "db"

	// folderFormat is the format of the folder as a whole, db/ included. It rises with every change of a row's format:
	// an older build that comes back to the folder replays only what is new in the changelog, and would look at the
	// other rows when it is too late.
	folderFormat = 1
	// keptNonces is how many earlier processes a folder remembers. A process that a supervisor starts every second
	// is gone from the consumer group (whose longest session is a few minutes) before its nonce is forgotten here.
	keptNonces = 256
)

// Identity is whose folder a state folder is and which processes ran on it.
type Identity struct {
	Format        int      `json:"format"`
	ApplicationID string   `json:"applicationId"`
	ClusterID     string   `json:"clusterId,omitempty"`
	WorkerID      string   `json:"workerId"`
	Nonce         string   `json:"nonce"`             // of the process that runs on the folder, or did last
	Earlier       []string `json:"earlier,omitempty"` // nonces of processes before it, the latest first
}

// PreviousNonce returns the nonce of the process that ran on the folder before this one, empty when there was none.
func (i Identity) PreviousNonce() string {
	if len(i.Earlier) == 0 {
		return ""
	}
	return i.Earlier[0]
}

// Had says whether a process with that nonce ran, or runs, on this folder. A live worker of this name that never did
// runs on a copy of it.
func (i Identity) Had(nonce string) bool {
	return nonce == i.Nonce || slices.Contains(i.Earlier, nonce)
}

// A folder is a state folder that this process has locked and signed.
type folder struct {
	fs       vfs.FS
	dir      string
	lock     io.Closer
	identity Identity
}

// openFolder makes the folder where there is none, locks it, checks whose it is, and writes this process into it.
func openFolder(o Options) (*folder, error) {
	f := &folder{fs: o.FS, dir: o.Dir}
	if err := f.make(); err != nil {
		return nil, fmt.Errorf("make the state folder %s: %w: name one that can be written with %s", f.dir, err, naming.StateDir)
	}
	if err := f.takeLock(); err != nil {
		return nil, err
	}
	if err := f.claim(o); err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

// make makes the folder and those above it, and syncs the folders in which one was made, so that a power loss does
// not take the state folder away as a whole.
func (f *folder) make() error {
	var grown []string
	for name := f.dir; ; {
		_, err := f.fs.Stat(name)
		above := f.fs.PathDir(name)
		if !errors.Is(err, fs.ErrNotExist) || above == name {
			break
		}
		grown = append(grown, above)
		name = above
	}
	if err := f.fs.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	for _, name := range grown {
		if err := f.sync(name); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) path(name string) string { return f.fs.PathJoin(f.dir, name) }

func (f *folder) takeLock() error {
	lock, err := f.fs.Lock(f.path(lockFile))
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return fmt.Errorf("lock the state folder %s: %w: name a folder that can be written with %s", f.dir, err, naming.StateDir)
	}
	if err != nil {
		return fmt.Errorf("the state folder %s is in use by another process (%w): stop that process, or give each worker a folder of its own with %s",
			f.dir, err, naming.StateDir)
	}
	f.lock = lock
	return nil
}

// claim checks the identity and writes the new one; a folder that is to be emptied is emptied before that, so that a
// crash in between leaves a folder that is emptied again.
func (f *folder) claim(o Options) error {
	old, found, err := f.readIdentity()
	if err != nil {
		return err
	}
	if found {
		if err := f.check(old, o); err != nil {
			return err
		}
	} else if err := f.checkUnclaimed(); err != nil {
		return err
	}
	if otherCluster(old, o) {
		o.Logger.Warn("emptying the state folder: it was filled from another cluster",
			"folder", f.dir, "cluster", old.ClusterID, "now", o.ClusterID)
		if err := f.fs.RemoveAll(f.path(dbFolder)); err != nil {
			return fmt.Errorf("empty the state folder %s: %w", f.dir, err)
		}
		if err := f.sync(f.dir); err != nil {
			return err
		}
	}
	if found && o.WorkerID != "" && o.WorkerID != old.WorkerID {
		o.Logger.Info("the worker of the state folder changes its name", "folder", f.dir, "was", old.WorkerID, "is", o.WorkerID)
	}
	f.identity = old.next(o)
	return f.writeIdentity()
}

func (f *folder) check(old Identity, o Options) error {
	if old.Format > folderFormat {
		return fmt.Errorf("the state folder %s has format %d, this build reads format %d: %w; or remove the folder (it is restored from the changelog, if this build can read that)",
			f.dir, old.Format, folderFormat, protocol.ErrNewer)
	}
	if old.Format != folderFormat {
		return fmt.Errorf("the state folder %s has format %d, this build reads format %d: run the build that wrote it, or remove the folder (it is restored from the changelog)",
			f.dir, old.Format, folderFormat)
	}
	if old.ApplicationID != o.ApplicationID {
		return fmt.Errorf("the state folder %s belongs to application %q, not to %q: give each application a folder of its own with %s",
			f.dir, old.ApplicationID, o.ApplicationID, naming.StateDir)
	}
	if otherCluster(old, o) && o.OtherCluster != WipeOtherCluster {
		return fmt.Errorf("the state folder %s was filled from Kafka cluster %s, the brokers given are cluster %s: check %s, or name another folder with %s, or remove this one (it is restored from the changelog)",
			f.dir, old.ClusterID, o.ClusterID, naming.Brokers, naming.StateDir)
	}
	return nil
}

func otherCluster(old Identity, o Options) bool {
	return old.ClusterID != "" && o.ClusterID != "" && old.ClusterID != o.ClusterID
}

// checkUnclaimed refuses rows of which nobody knows whose they are. A crash does not lead here: the identity is on disk
// before db/ is made.
func (f *folder) checkUnclaimed() error {
	if _, err := f.fs.Stat(f.path(dbFolder)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look into the state folder %s: %w", f.dir, err)
	}
	return fmt.Errorf("the state folder %s has a %s folder but no %s, so it may be another application's: remove the folder (it is restored from the changelog), or name another with %s",
		f.dir, dbFolder, identityFile, naming.StateDir)
}

// next returns the identity with this process written into it.
func (i Identity) next(o Options) Identity {
	n := Identity{
		Format: folderFormat, ApplicationID: o.ApplicationID, ClusterID: i.ClusterID, WorkerID: i.WorkerID, Nonce: randomHex(8),
	}
	if o.ClusterID != "" {
		n.ClusterID = o.ClusterID
	}
	if o.WorkerID != "" {
		n.WorkerID = o.WorkerID
	}
	if n.WorkerID == "" {
		n.WorkerID = "worker-" + randomHex(6)
	}
	if i.Nonce != "" {
		n.Earlier = append([]string{i.Nonce}, i.Earlier[:min(len(i.Earlier), keptNonces-1)]...)
	}
	return n
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the program instead
	return hex.EncodeToString(b)
}

func (f *folder) readIdentity() (Identity, bool, error) {
	file, err := f.fs.Open(f.path(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, false, nil
	}
	if err != nil {
		return Identity{}, false, fmt.Errorf("read the identity of the state folder %s: %w", f.dir, err)
	}
	text, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return Identity{}, false, fmt.Errorf("read the identity of the state folder %s: %w", f.dir, err)
	}
	i := Identity{}
	if err := json.Unmarshal(text, &i); err != nil {
		return Identity{}, false, fmt.Errorf("read %s of the state folder %s: %w: remove the folder (it is restored from the changelog)",
			identityFile, f.dir, err)
	}
	return i, true, nil
}

// writeIdentity replaces the identity as a whole: after a crash it is the old one or the new one.
func (f *folder) writeIdentity() error {
	text, err := json.MarshalIndent(f.identity, "", "  ")
	if err != nil {
		return fmt.Errorf("write the identity of the state folder %s: %w", f.dir, err)
	}
	next := f.path(identityFile + ".next")
	if err := f.writeFile(next, append(text, '\n')); err != nil {
		return fmt.Errorf("write the identity of the state folder %s: %w: %s", f.dir, err, wayOut(err))
	}
	if err := f.fs.Rename(next, f.path(identityFile)); err != nil {
		return fmt.Errorf("write the identity of the state folder %s: %w", f.dir, err)
	}
	return f.sync(f.dir)
}

func (f *folder) writeFile(name string, text []byte) error {
	file, err := f.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// sync makes the entries of a folder last through a power loss.
func (f *folder) sync(name string) error {
	dir, err := f.fs.OpenDir(name)
	if err != nil {
		return fmt.Errorf("sync the folder %s: %w", name, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the folder %s: %w", name, err)
	}
	return nil
}
