package module

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Options say how modules are loaded.
type Options struct {
	// Lenient makes keys that nobody knows warnings, as StateFun ignores them.
	Lenient bool
	// Getenv looks up the names of ${NAME} placeholders; nil: placeholders are literal text, as in StateFun.
	Getenv func(name string) (string, bool)
	// ApplicationID, when not empty, beats the id that the module gives.
	ApplicationID string
	// Brokers, when not empty, are the application's cluster, whatever address the module gives for it.
	Brokers []string
	// OneCluster makes Brokers stand for every address of the module, as a development broker does.
	OneCluster bool
	// Check, when not nil, looks at what could be read, also of a module with problems, and its problems are told
	// together with the others; kafka.Check is one.
	Check func(*Module) []Problem
	// Now is the clock that start dates are compared with; nil: the wall clock.
	Now func() time.Time
}

// Load reads module files as one module. Of a folder it reads every *.yaml and *.yml, and the
// module.yaml of each of its sub-folders, which is how StateFun's image keeps several modules.
// The error is of type Errors and holds all problems of all files.
func Load(paths []string, opt Options) (*Module, error) {
	r := newReader(opt)
	if len(paths) == 0 {
		r.report(Position{}, "no module is given", "name a module.yaml or a folder that holds one")
	}
	r.readAll(paths)
	return r.finish()
}

func (r *reader) readAll(paths []string) {
	for _, p := range paths {
		for _, file := range r.files(filePath(p, "")) {
			r.readFile(file)
		}
	}
	wrong := len(r.problems) > 0 // in whatever document: its kind may be what is wrong
	r.lostEndpoints, r.lostIngresses = wrong, wrong
}

// finish checks what was read as a whole.
func (r *reader) finish() (*Module, error) {
	if len(r.loaded) > 0 || r.parts {
		r.check()
	}
	if r.opt.Check != nil {
		r.problems = append(r.problems, r.opt.Check(r.module)...)
	}
	SortProblems(r.problems)
	SortProblems(r.module.Warnings)
	if len(r.problems) > 0 {
		return nil, Errors(r.problems)
	}
	return r.module, nil
}

// A reader collects what the files declare and everything that is wrong with them.
type reader struct {
	opt      Options
	module   *Module
	problems []Problem
	loaded   []string // files read so far
	parts    bool     // there is more than files: what the program itself declares
	at       Position // of the program that declares it
	// lostEndpoints and lostIngresses say that there would be more of them, had they not been wrong.
	lostEndpoints, lostIngresses bool
	explicit                     bool   // an application document was read
	version                      string // of the legacy document that is being read; empty: it is of the component format
	routers                      []declaredRouter
	// routed are the messages of the ingresses that have routers in place of targets.
	routed      map[protocol.TypeName]protoreflect.MessageDescriptor
	descriptors map[string]*protoregistry.Files // by the path of their file
	// targetsAt says where the targets of the ingress topic at a position stand, in the order of its targets.
	targetsAt map[Position][]Position
}

func newReader(opt Options) *reader {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &reader{
		opt: opt, module: &Module{}, targetsAt: map[Position][]Position{},
		routed: map[protocol.TypeName]protoreflect.MessageDescriptor{}, descriptors: map[string]*protoregistry.Files{},
	}
}

// report notes a problem that keeps the module from running.
func (r *reader) report(at Position, message, hint string) {
	r.problems = append(r.problems, Problem{Position: at, Message: message, Hint: hint})
}

// warn notes something that the reader of the logs should know.
func (r *reader) warn(at Position, message, hint string) {
	r.module.Warnings = append(r.module.Warnings, Problem{Position: at, Message: message, Hint: hint})
}

// unknown notes what StateFun would ignore without a word: a problem, or with Lenient a warning.
func (r *reader) unknown(at Position, message, hint string) {
	if r.opt.Lenient {
		r.warn(at, message, hint)
		return
	}
	r.report(at, message, hint)
}

// files lists the module files behind one path.
func (r *reader) files(path string) []string {
	info, err := os.Stat(path)
	if err != nil {
		r.unreadable(path, err)
		return nil
	}
	if !info.IsDir() {
		return []string{path}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		r.unreadable(path, err)
		return nil
	}
	var found []string
	for _, e := range entries {
		// Names with a dot are left out because Kubernetes mounts a second copy of each file under ..data.
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		full := filepath.Join(path, e.Name())
		if nested := filepath.Join(full, "module.yaml"); isFile(nested) {
			found = append(found, nested)
			continue
		}
		if ext := filepath.Ext(full); (ext == ".yaml" || ext == ".yml") && isFile(full) {
			found = append(found, full)
		}
	}
	if len(found) == 0 {
		r.report(Position{File: path}, "the folder holds no module", "put a module.yaml into it")
	}
	return found
}

func (r *reader) unreadable(path string, err error) {
	// The path is in the problem's position already.
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	r.report(Position{File: path}, "cannot be read: "+err.Error(), "")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// largestFile is far above any module; a larger file was named by mistake and would take minutes to parse.
const largestFile = 4 << 20

func (r *reader) readFile(path string) {
	if slices.Contains(r.loaded, path) {
		r.report(Position{File: path}, "the file is given twice", "name each module file once")
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	if len(text) > largestFile {
		r.report(Position{File: path}, "is larger than 4 MiB: it cannot be a module", "")
		return
	}
	r.read(path, text)
}

// read takes in the documents of one file.
func (r *reader) read(path string, text []byte) {
	r.loaded = append(r.loaded, path)
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	documents := splitDocuments(text)
	for _, d := range documents {
		root, ok := r.parse(path, d)
		if !ok {
			continue // its problem is noted; a null document has nothing to read
		}
		if version, ok := root.legacyVersion(); ok && len(documents) == 1 {
			r.legacy(root, version)
			continue
		}
		r.component(root)
	}
}

// filePath turns a StateFun location into a path: file:… as it stands, classpath:… below the module's
// folder, because StateFun's image puts each module folder on the class path.
func filePath(location, folder string) string {
	if rest, ok := strings.CutPrefix(location, "classpath:"); ok {
		return filepath.Join(folder, filepath.FromSlash(rest))
	}
	rest, ok := strings.CutPrefix(location, "file:")
	if !ok {
		return location
	}
	return strings.TrimPrefix(rest, "//")
}
