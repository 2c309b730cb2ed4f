package realkafka

import (
	"context"
	"crypto/sha256"
	_ "embed" // for the pom
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

//go:embed pom.xml
var pom []byte

// install is one Kafka version as it lies in the cache folder.
type install struct {
	classPath string
	archive   string // the class archive; made by the first start ever
	recording string // not empty: the process writes its archive here when it ends
}

// archiveFlag lets the JVM map the classes that Kafka's start needs instead of parsing them from the jars.
func (i install) archiveFlag() string {
	if i.recording != "" {
		return "-XX:ArchiveClassesAtExit=" + i.recording
	}
	return "-XX:SharedArchiveFile=" + i.archive
}

// Download gets the jars of a version ahead of the first Start, so that no test's time limit pays for it.
func Download(ctx context.Context, version string) error {
	_, err := installed(ctx, version)
	return err
}

// installed returns the jars of a version, from the cache or from Maven Central. Test packages run in parallel,
// in processes of their own: the first takes the lock and fills the folder, the others wait for it.
func installed(ctx context.Context, version string) (_ install, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return install{}, fmt.Errorf("find the cache folder for Kafka's jars: %w", err)
	}
	// The name holds a hash of the pom: a changed pom gets a folder of its own.
	dir := filepath.Join(cache, "statefun-kafka", fmt.Sprintf("kafka-%s-%x", version, sha256.Sum256(pom))[:len("kafka-")+len(version)+9])
	ready := filepath.Join(dir, "ready")
	if _, err := os.Stat(ready); err == nil {
		return open(dir)
	}
	if err := Available(); err != nil {
		return install{}, err
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return install{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := os.Stat(ready); err == nil {
		return open(dir)
	}
	if err := resolve(ctx, version, dir); err != nil {
		return install{}, err
	}
	found, err := open(dir)
	if err != nil {
		return install{}, err
	}
	if err := record(ctx, version, found); err != nil {
		return install{}, err
	}
	if err := os.WriteFile(ready, nil, 0o644); err != nil {
		return install{}, fmt.Errorf("mark Kafka's jars as complete: %w", err)
	}
	return found, nil
}

// lock takes an exclusive lock that the system drops when this process ends.
func lock(file string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of Kafka's jars: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file, err), f.Close())
	}
	return f.Close, nil
}

// resolve lets Maven copy the jars of a version into dir.
func resolve(ctx context.Context, version, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder for Kafka's jars: %w", err)
	}
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return fmt.Errorf("write the pom of Kafka's jars: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "-Dkafka.version="+version,
		"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(dir, "lib"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("get the jars of Kafka %s with Maven: %w\n%s", version, err, out)
	}
	return nil
}

// open lists the jars by name: the class archive is only good for the very same class path.
func open(dir string) (install, error) {
	jars, err := filepath.Glob(filepath.Join(dir, "lib", "*.jar"))
	if err != nil {
		return install{}, fmt.Errorf("list Kafka's jars: %w", err)
	}
	if len(jars) == 0 {
		return install{}, fmt.Errorf("no jar in %s: remove the folder to have it filled again", dir)
	}
	slices.Sort(jars)
	return install{
		classPath: strings.Join(jars, string(os.PathListSeparator)),
		archive:   filepath.Join(dir, "classes.jsa"),
	}, nil
}

// record runs the broker once to make the class archive. A JVM that cannot make one costs speed, nothing else.
func record(ctx context.Context, version string, found install) error {
	found.recording = found.archive
	b, err := start(ctx, Options{Version: version}, found)
	if err != nil {
		return fmt.Errorf("start Kafka %s for the first time: %w", version, err)
	}
	return b.Stop()
}
