package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// readEnvironment fills every flag that was not given from its STATEFUN_ variable. Several values of a flag that may be
// repeated are separated by commas.
func readEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var faults []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value, ok := lookup(name)
		if !ok || value == "" || f.Changed || f.Name == "help" { // an empty variable is one that is not set
			return
		}
		values := []string{value}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			faults = append(faults, list.Replace(nil))
			values = strings.Split(value, ",")
		}
		for _, v := range values {
			err := flags.Set(f.Name, v)
			var invalid *pflag.InvalidValueError
			if errors.As(err, &invalid) {
				err = wanted(invalid)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("environment variable %s=%q: %w", name, value, err))
			}
		}
	})
	return errors.Join(faults...)
}

func variable(flag string) string {
	return "STATEFUN_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// logFlags say what is logged and how.
type logFlags struct{ level, format string }

func (l *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&l.level, "log-level", "info", "least level that is logged: debug, info, warn or error")
	flags.StringVar(&l.format, "log-format", "auto", "text, json, or auto: text on a terminal, JSON otherwise")
}

func (l *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", l.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "auto":
		if isTerminal(w) {
			return slog.New(slog.NewTextHandler(w, options)), nil
		}
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text, json or auto", l.format)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// moduleFlags choose the module and what beats its settings.
type moduleFlags struct {
	paths         []string
	brokers       []string
	oneCluster    bool // the brokers stand for every address
	applicationID string
	lenient       bool
	commandConfig string // file with client properties
}

func (m *moduleFlags) add(flags *pflag.FlagSet) {
	m.addWithoutBrokers(flags)
	flags.StringSliceVarP(&m.brokers, brokersFlag, "b", nil, "bootstrap addresses HOST:PORT,…; default: those of the module's ingresses")
}

// addForCluster is for a command that can do without a module.
func (m *moduleFlags) addForCluster(flags *pflag.FlagSet) {
	m.add(flags)
	flags.StringVar(&m.commandConfig, "command-config", "", "Java properties file of client settings, as Kafka's tools take it; for use without a module, which has its own")
}

// addWithoutBrokers is for a command that brings its own broker.
func (m *moduleFlags) addWithoutBrokers(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&m.paths, "module", "m", nil, "module.yaml, or a folder of such; may be repeated")
	flags.StringVar(&m.applicationID, "application-id", "", "name of the application; default: the module's")
	flags.BoolVar(&m.lenient, "lenient", false, "warn of unknown keys in the module in place of refusing them")
}

// load reads the module and logs its warnings.
func (m *moduleFlags) load(p *program) (*module.Module, error) {
	if len(m.paths) == 0 {
		return nil, usagef("no module: give --module FILE")
	}
	mod, err := module.Load(m.paths, m.options(p))
	if err != nil {
		return nil, fmt.Errorf("the module is not valid:\n%w", err)
	}
	for _, w := range mod.Warnings {
		p.log.Warn("module", "warning", p.word(w).Error())
	}
	return mod, nil
}

// application is the module, or without one what the id and the brokers stand for: an application whose cluster is asked.
func (m *moduleFlags) application(p *program) (*module.Module, error) {
	switch {
	case len(m.paths) > 0:
		return m.load(p)
	case m.applicationID == "" || len(m.brokers) == 0:
		return nil, usagef("no application: give --module FILE, or --application-id and --brokers of one that is a Go program")
	}
	p.word = func(err error) error { return err } // its reader has flags here, and options in the program
	return module.Bare(m.applicationID, m.brokers)
}

// clusterAlone is a target on a cluster without a module.
func (m *moduleFlags) clusterAlone() (t target, err error) {
	t.brokers = m.brokers
	if m.commandConfig != "" {
		if t.properties, err = module.ReadProperties(m.commandConfig); err != nil {
			return t, usageError{err}
		}
	}
	return t, nil
}

// cluster is the target of a module that load or application has given.
func (m *moduleFlags) cluster(mod *module.Module) (target, error) {
	switch {
	case mod.Bare:
		return m.clusterAlone()
	case m.commandConfig != "":
		return target{}, usagef("--command-config is for use without a module: write client settings under properties in the module")
	}
	return target{brokers: mod.Brokers, module: mod}, nil
}

func (m *moduleFlags) options(p *program) module.Options {
	return module.Options{Lenient: m.lenient, Getenv: p.lookupEnv, ApplicationID: m.applicationID, Brokers: m.brokers, OneCluster: m.oneCluster, Check: kafka.Check}
}

// topicsValue is a repeatable flag NAME or NAME:PARTITIONS.
type topicsValue struct{ list []broker.Topic }

// String implements pflag.Value.
func (t *topicsValue) String() string {
	var list []string
	for _, topic := range t.list {
		list = append(list, fmt.Sprintf("%s:%d", topic.Name, topic.Partitions))
	}
	return strings.Join(list, ",")
}

// Type implements pflag.Value.
func (t *topicsValue) Type() string { return "NAME:PARTITIONS" }

// Set implements pflag.Value.
func (t *topicsValue) Set(s string) error {
	topic, err := parseTopic(s)
	if err != nil {
		return err
	}
	t.list = append(t.list, topic)
	return nil
}

// Append implements pflag.SliceValue.
func (t *topicsValue) Append(s string) error { return t.Set(s) }

// Replace implements pflag.SliceValue.
func (t *topicsValue) Replace(list []string) error {
	t.list = nil
	for _, s := range list {
		if err := t.Set(s); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (t *topicsValue) GetSlice() []string { return strings.Split(t.String(), ",") }

// topicPartitions is for a topic given without a count.
const topicPartitions = 4

func parseTopic(s string) (broker.Topic, error) {
	name, count, found := strings.Cut(s, ":")
	if !found && name != "" {
		return broker.Topic{Name: name, Partitions: topicPartitions}, nil
	}
	n, err := strconv.ParseInt(count, 10, 32)
	if err != nil || n < 1 || name == "" {
		return broker.Topic{}, errors.New("want NAME or NAME:PARTITIONS, like names:4")
	}
	return broker.Topic{Name: name, Partitions: int32(n)}, nil
}

// outputFlag is --output text|json.
type outputFlag struct{ format string }

func (o *outputFlag) add(flags *pflag.FlagSet) {
	flags.StringVarP(&o.format, "output", "o", "text", "text or json")
}

func (o *outputFlag) json() (bool, error) {
	switch o.format {
	case "text":
		return false, nil
	case "json":
		return true, nil
	}
	return false, usagef("--output %q: want text or json", o.format)
}
