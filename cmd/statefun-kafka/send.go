package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// flushSlack lets a record that has waited its time be reported by itself, with the reason, before the wait for all is given up.
const flushSlack = 5 * time.Second

type sendFlags struct {
	module    moduleFlags
	ingress   string
	topic     string
	valueType string
	json      []string
	timeout   time.Duration
}

func newSend(p *program) *cobra.Command {
	var flags sendFlags
	cmd := &cobra.Command{
		Use:   "send [KEY=VALUE]…",
		Short: "Produce records to an ingress topic",
		Long: `Produce records to an ingress topic and wait until the broker has acknowledged them.

Records are the arguments, those of --json, or, when there are neither, the lines of standard input:
key=value, or a JSON object {"key":"…","value":…,"headers":{"…":"…"}}, whose value is sent as its compact JSON text.

When the topic's valueType is one of io.statefun.types/string, int, long, bool, float or double, the value is
encoded as the SDKs expect it; any other type is sent as the text that it is.`,
		Example: `  statefun-kafka send --module module.yaml ada=hello bob=hi
  statefun-kafka send --module module.yaml --ingress greeter/names < names.txt
  statefun-kafka send --module module.yaml --topic orders --json '{"key":"o-1","value":{"amount":3}}'
  statefun-kafka send --brokers 127.0.0.1:9092 --topic counts --type io.statefun.types/int ada=3`,
		RunE: func(cmd *cobra.Command, args []string) error { return runSend(cmd.Context(), p, flags, args) },
	}
	flags.module.addForCluster(cmd.Flags())
	cmd.Flags().StringVar(&flags.ingress, "ingress", "", "ingress NAMESPACE/NAME whose topic is meant, when the module has several")
	cmd.Flags().StringVarP(&flags.topic, "topic", "t", "", "topic; default: the ingress' only one")
	cmd.Flags().StringVar(&flags.valueType, "type", "", "type of the values; default: the valueType of the topic in the module")
	cmd.Flags().StringArrayVar(&flags.json, "json", nil, `record as JSON, {"key":"…","value":…}; may be repeated`)
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 30*time.Second, "how long a record may wait for its acknowledgement")
	return cmd
}

func runSend(ctx context.Context, p *program, flags sendFlags, args []string) error {
	if err := checkPairs(args); err != nil {
		return err
	}
	to, err := flags.target(p)
	if err != nil {
		return err
	}
	// All are read before the first is sent: a slip in the last one leaves nothing half done.
	records, err := flags.records(args, to)
	if err != nil {
		return usageError{err}
	}
	cl, err := to.writer(p, kgo.RecordDeliveryTimeout(flags.timeout), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	reaching, given := context.WithTimeout(ctx, flags.timeout)
	defer given()
	if err := to.reach(reaching, p, cl); err != nil {
		return err
	}
	// A signal ends the reading of records. What was handed over by then is still waited for, as long as a record may take.
	s := &sender{cl: cl, topic: to.topic, valueType: to.valueType}
	err = s.sendAll(ctx, p, records)
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flags.timeout+flushSlack)
	defer cancel()
	if flushErr := cl.Flush(flushing); flushErr != nil && err == nil {
		err = fmt.Errorf("wait for acknowledgements: %w", flushErr)
	}
	acknowledged, failure := s.result()
	if errors.Is(err, errRefused) {
		err = nil // failure says why
	}
	if err = errors.Join(err, failure); err == nil || acknowledged > 0 {
		fmt.Fprintf(p.out, "sent %s to topic %s\n", count(acknowledged, "record"), to.topic)
	}
	return err
}

// target finds the topic in the module, or takes it from the flags alone.
func (f *sendFlags) target(p *program) (target, error) {
	if len(f.module.paths) == 0 {
		switch {
		case f.ingress != "":
			return target{}, usagef("--ingress needs the module that has it: give --module")
		case f.topic == "" || len(f.module.brokers) == 0:
			return target{}, usagef("where to? give --module, or --brokers and --topic")
		}
		t, err := f.module.clusterAlone()
		t.topic, t.valueType = f.topic, f.valueType
		return t, err
	}
	m, err := f.module.load(p)
	if err != nil {
		return target{}, err
	}
	if _, err := f.module.cluster(m); err != nil {
		return target{}, err
	}
	t, err := chooseTopic(m, f.ingress, f.topic)
	if err != nil {
		return target{}, err
	}
	if f.valueType != "" {
		t.valueType = f.valueType
	}
	return t, nil
}

// chooseTopic is the one topic that the names leave; a topic that the module does not have is taken as it is.
func chooseTopic(m *module.Module, ingress, topic string) (target, error) {
	var matches []target
	var known, ids []string
	for _, in := range m.Ingresses {
		ids = append(ids, in.ID.String())
		if ingress != "" && in.ID.String() != ingress {
			continue
		}
		for _, t := range in.Topics {
			known = append(known, t.Topic)
			if topic == "" || topic == t.Topic {
				matches = append(matches, target{brokers: m.Brokers, module: m, topic: t.Topic, valueType: t.ValueType})
			}
		}
	}
	switch {
	case ingress != "" && !slices.Contains(ids, ingress):
		return target{}, usagef("the module has no ingress %s: it has %s", ingress, strings.Join(ids, ", "))
	case ingress != "" && topic != "" && len(matches) == 0:
		return target{}, usagef("ingress %s does not read topic %s: it reads %s", ingress, topic, strings.Join(known, ", "))
	case len(matches) > 0 && (topic != "" || len(matches) == 1):
		return matches[0], nil
	case topic != "":
		return target{brokers: m.Brokers, module: m, topic: topic}, nil
	}
	return target{}, usagef("the module has several ingress topics: choose one of %s with --topic", strings.Join(known, ", "))
}

// errRefused stops the sending; the sender keeps the reason.
var errRefused = errors.New("a record was refused")

// sender hands records to the client and counts what the broker acknowledged.
type sender struct {
	cl               *kgo.Client
	topic, valueType string

	mu           sync.Mutex // guards what follows, which the client's callbacks write
	acknowledged int
	failure      error // the first one
}

func (s *sender) result() (acknowledged int, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledged, s.failure
}

// checkPairs looks at the form of the arguments before anything else: who gives a module there has given none.
func checkPairs(args []string) error {
	for _, arg := range args {
		_, err := parsePair(arg)
		switch {
		case err != nil && isModule(arg):
			return usagef("%w; a module is given with --module %s", err, arg)
		case err != nil:
			return usageError{err}
		}
	}
	return nil
}

// records are those of the command line; none: they come from standard input.
func (f *sendFlags) records(pairs []string, to target) (records []typed, err error) {
	parse := func(list []string, one func(string) (typed, error)) {
		for _, text := range list {
			t, failure := one(text)
			if failure == nil {
				_, failure = t.record(to.topic, to.valueType)
			}
			err = errors.Join(err, failure)
			records = append(records, t)
		}
	}
	parse(pairs, parsePair)
	parse(f.json, func(text string) (typed, error) { return parseJSON(text, to.valueType) })
	return records, err
}

func (s *sender) sendAll(ctx context.Context, p *program, records []typed) error {
	if len(records) == 0 {
		if in, is := p.in.(*os.File); is && isTerminal(in) {
			fmt.Fprintln(p.err, "a record a line, key=value or JSON; Ctrl-D ends")
		}
		return s.sendLines(ctx, p.in)
	}
	for _, t := range records {
		if err := s.send(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// sendLines ends with the input or with ctx. A read that is under way cannot be ended, so it is left to itself then: the command
// ends, and the process with it.
func (s *sender) sendLines(ctx context.Context, in io.Reader) error {
	ended := make(chan error, 1)
	go func() {
		ended <- readLines(in, s.valueType, func(t typed) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return s.send(ctx, t)
		})
	}()
	select {
	case err := <-ended:
		if ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	return nil
}

// send hands a record over, and stops at the first one that the broker refused.
func (s *sender) send(ctx context.Context, t typed) error {
	r, err := t.record(s.topic, s.valueType)
	if err != nil {
		return err
	}
	if _, failure := s.result(); failure != nil {
		return errRefused
	}
	s.cl.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.acknowledged++
		} else if s.failure == nil {
			s.failure = explainProduce(r, err)
		}
	})
	return nil
}

func explainProduce(r *kgo.Record, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %s does not exist: create it, for an ingress with statefun-kafka topics --create --create-ingress: %w", r.Topic, err)
	}
	return fmt.Errorf("send the record with key %q to topic %s: %w", r.Key, r.Topic, err)
}
