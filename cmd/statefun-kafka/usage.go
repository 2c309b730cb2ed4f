package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// usageError is an error of the caller's: it ends with exit code 2 and a pointer to the help.
type usageError struct{ error }

// Unwrap gives the reason.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// misread finds what the parser of the command line would take for something else, or tell in a way that helps nobody.
func misread(root *cobra.Command, args []string) (*cobra.Command, error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if len(args) > 0 && strings.HasPrefix(args[0], "__") {
		return root, nil // a shell asks for completions
	}
	if len(args) > 1 && args[0] == "help" {
		args = args[1:]
	}
	cmd, rest, err := root.Find(args)
	if err != nil {
		return root, unknownCommand(root, args)
	}
	for _, arg := range rest {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if len(name) < 2 || !strings.HasPrefix(arg, "-") || strings.HasPrefix(name, "-") {
			continue
		}
		// -module would be -m with the value odule.
		if cmd.Flag(name) != nil || cmd.InheritedFlags().Lookup(name) != nil {
			return cmd, fmt.Errorf("-%s: long flags have two dashes: --%s", name, name)
		}
	}
	return cmd, nil
}

func unknownCommand(root *cobra.Command, args []string) error {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	name := args[max(i, 0)]
	if isModule(name) {
		return fmt.Errorf("%s is no command: a module is given to one, as in statefun-kafka run --module %s", name, name)
	}
	var known []string
	for _, c := range root.Commands() {
		known = append(known, c.Name())
	}
	if near := module.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown command %q: did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown command %q", name)
}

// isModule tells whether somebody may have meant a module: there is such a file, or it is called like one.
func isModule(arg string) bool {
	ext := filepath.Ext(arg)
	_, err := os.Stat(arg)
	return err == nil || ext == ".yaml" || ext == ".yml"
}

// noArguments is for commands that are told everything by flags.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("module") != nil && isModule(args[0]):
		return fmt.Errorf("%s takes no arguments: give the module with --module %s", cmd.Name(), args[0])
	}
	return fmt.Errorf("%s takes no arguments, and %q is one", cmd.Name(), args[0])
}

// flagFault puts what the parser says of a flag into words for people, with the flag that was meant.
func flagFault(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := module.Nearest(unknown.GetSpecifiedName(), known); near != "" {
			return fmt.Errorf("%w: did you mean --%s?", err, near)
		}
		name := unknown.GetSpecifiedName()
		if slices.ContainsFunc(cmd.Root().Commands(), func(c *cobra.Command) bool { return c.Name() == name }) {
			return fmt.Errorf("%w: did you mean the command, statefun-kafka %s?", err, name)
		}
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), wanted(invalid))
	}
	return err
}

// wanted says what a flag takes.
func wanted(invalid *pflag.InvalidValueError) error {
	switch invalid.GetFlag().Value.Type() {
	case "int", "int16", "int32":
		return errors.New("want a whole number")
	case "duration":
		return errors.New("want a time like 30s, 5m or 72h")
	case "bool":
		return errors.New("want true or false")
	}
	return invalid.Unwrap()
}

// checkFlags refuses values that the types of flags let through, and that no command has a use for.
func checkFlags(flags *pflag.FlagSet) error {
	var faults []error
	flags.VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		switch kind := f.Value.Type(); {
		case !f.Changed:
		case slices.Contains([]string{"int", "int16", "int32", "duration"}, kind) && strings.HasPrefix(value, "-"):
			faults = append(faults, fmt.Errorf("--%s %s: want 0 or more", f.Name, value))
		case f.Name == "timeout" && value == "0s" && f.DefValue != "0s":
			faults = append(faults, fmt.Errorf("--%s %s: want a time like 30s", f.Name, value))
		case f.Name == brokersFlag:
			faults = append(faults, checkBrokers(f.Value.(pflag.SliceValue).GetSlice()))
		}
	})
	return errors.Join(faults...)
}

const brokersFlag = "brokers"

// checkBrokers looks at the form of bootstrap addresses; a port that is not given is Kafka's.
func checkBrokers(list []string) error {
	if len(list) == 0 {
		return fmt.Errorf("--%s is empty: want HOST:PORT,…, like kafka:9092", brokersFlag)
	}
	for _, address := range list {
		err := checkHostPort(address)
		if bare := !strings.Contains(address, ":") && !strings.ContainsAny(address, "/ "); err != nil && (!bare || address == "") {
			return fmt.Errorf("--%s %q: want HOST:PORT,…, like kafka:9092", brokersFlag, address)
		}
	}
	return nil
}

func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil && strings.ContainsAny(host, "/ ") {
		err = errors.New("no host")
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err
}

// release is a flag that names a release of Kafka.
type release struct{ text *string }

// String implements pflag.Value.
func (r release) String() string {
	if r.text == nil {
		return ""
	}
	return *r.text
}

// Type implements pflag.Value.
func (r release) Type() string { return "RELEASE" }

// Set implements pflag.Value.
func (r release) Set(s string) error {
	if kversion.FromString(s) == nil {
		return errors.New("want a release of Kafka, like 3.9 or 4.1")
	}
	*r.text = s
	return nil
}

// hostPort is a flag HOST:PORT.
type hostPort struct{ text *string }

func addHostPort(flags *pflag.FlagSet, text *string, name, otherwise, usage string) {
	*text = otherwise
	flags.Var(hostPort{text}, name, usage)
}

// String implements pflag.Value.
func (h hostPort) String() string {
	if h.text == nil {
		return ""
	}
	return *h.text
}

// Type implements pflag.Value.
func (h hostPort) Type() string { return "HOST:PORT" }

// Set implements pflag.Value.
func (h hostPort) Set(s string) error {
	if err := checkHostPort(s); err != nil {
		return errors.New("want HOST:PORT, like 127.0.0.1:9090; port 0 takes a free one")
	}
	*h.text = s
	return nil
}
