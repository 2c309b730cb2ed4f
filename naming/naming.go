// Package naming has the names of what an error asks its reader to set, for two kinds of readers: one has started a worker
// with flags and a module, the other runs it in a Go program and has options.
//
// A room that refuses something does not know who has started it. It puts a Setting into its text, which says both names;
// whoever hands an error to its reader leaves one of them, with ForCommand or ForProgram. What goes another way, such as
// a line of the log, is right too, only longer.
package naming

import "strings"

// A Setting has two names.
type Setting struct{ command, program string }

// What errors ask for.
var (
	Brokers           = Setting{"--brokers", "Options.Brokers"}
	Cluster           = Setting{"--brokers HOST:PORT,…", "Options.Brokers, or for development Options.DevBroker"}
	ApplicationID     = Setting{"--application-id", "the id of embedded.New"}
	StateDir          = Setting{"--state-dir", "Options.StateDir"}
	WorkerID          = Setting{"--worker-id", "Options.WorkerID"}
	AdminAddr         = Setting{"--admin-addr", "Options.AdminAddr"}
	AcceptOffsetReset = Setting{"--accept-offset-reset", "Options.AcceptOffsetReset"}
	Partitions        = Setting{"partitions in the application document of the module", "Options.Partitions"}
	CreateTopics      = Setting{"statefun-kafka topics --create --create-ingress", "Options.CreateTopics"}
)

var all = []Setting{Cluster, Brokers, ApplicationID, StateDir, WorkerID, AdminAddr, AcceptOffsetReset, Partitions, CreateTopics}

// String has both names.
func (s Setting) String() string { return s.command + " / " + s.program }

var forCommand, forProgram = by(func(s Setting) string { return s.command }), by(func(s Setting) string { return s.program })

func by(name func(Setting) string) *strings.Replacer {
	var pairs []string
	for _, s := range all {
		pairs = append(pairs, s.String(), name(s))
	}
	return strings.NewReplacer(pairs...)
}

// ForCommand words an error for somebody at the command line.
func ForCommand(err error) error { return word(err, forCommand) }

// ForProgram words an error for the author of a Go program.
func ForProgram(err error) error { return word(err, forProgram) }

func word(err error, names *strings.Replacer) error {
	if err == nil {
		return nil
	}
	before := err.Error()
	after := names.Replace(before)
	if after == before {
		return err
	}
	return &worded{after, err}
}

// worded is an error in other words.
type worded struct {
	text string
	err  error
}

// Error is the text for one kind of reader.
func (w *worded) Error() string { return w.text }

// Unwrap gives the error as it came.
func (w *worded) Unwrap() error { return w.err }
