package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// topicPoll is the pause between two looks for a topic that does not exist yet.
const topicPoll = 250 * time.Millisecond

type tailFlags struct {
	module    moduleFlags
	output    outputFlag
	topic     string
	valueType string
	fromStart bool
	max       int
	timeout   time.Duration
}

func newTail(p *program) *cobra.Command {
	var flags tailFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the committed records of a topic as they arrive",
		Long: `Print the committed records of a topic as they arrive: those of open or aborted transactions are never shown.

A line a record, key=value; with --output json an object with topic, partition, offset, timestamp and headers.
It begins with what comes after the start, or with --from-start at the first record, and waits for a topic
that does not exist yet. It ends with --max, with --timeout or with Ctrl-C. Records of one partition come in their order,
those of different partitions in any.`,
		Example: `  statefun-kafka tail --module module.yaml --topic greetings
  statefun-kafka tail --brokers 127.0.0.1:9092 --topic greetings --from-start --max 10 --output json
  statefun-kafka tail --module module.yaml --topic counts --type io.statefun.types/int`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTail(cmd.Context(), p, flags) },
	}
	flags.module.addForCluster(cmd.Flags())
	flags.output.add(cmd.Flags())
	cmd.Flags().StringVarP(&flags.topic, "topic", "t", "", "topic to read")
	cmd.Flags().StringVar(&flags.valueType, "type", "", "type of the values, like io.statefun.types/int; default: the module's valueType of an ingress topic, else text")
	cmd.Flags().BoolVar(&flags.fromStart, "from-start", false, "begin with the first record")
	cmd.Flags().IntVar(&flags.max, "max", 0, "end after this many records")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 0, "end after this time; with --max and fewer records that is a failure")
	return cmd
}

func runTail(ctx context.Context, p *program, flags tailFlags) error {
	asJSON, err := flags.output.json()
	if err != nil {
		return err
	}
	from, err := flags.source(p)
	if err != nil {
		return err
	}
	cl, err := from.reader(p, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := from.reach(ctx, p, cl); err != nil {
		return err
	}
	bounded := ctx
	if flags.timeout > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, flags.timeout)
		defer cancel()
	}
	t := &tailer{cl: cl, topic: from.topic, max: flags.max, print: printText(p.out, from.valueType)}
	if asJSON {
		t.print = printJSON(p.out, from.valueType)
	}
	err = t.run(bounded, p, flags.fromStart)
	switch {
	case ctx.Err() != nil:
		return nil // Ctrl-C is how a tail ends
	case bounded.Err() != nil && flags.max > 0 && t.count < flags.max:
		return fmt.Errorf("topic %s: %d of %d records within %s", from.topic, t.count, flags.max, flags.timeout)
	case bounded.Err() != nil:
		return nil
	}
	return err
}

// source finds the topic to read: any topic of the cluster, as egress topics are named by functions and not by the module.
func (f *tailFlags) source(p *program) (target, error) {
	if len(f.module.paths) == 0 {
		if f.topic == "" || len(f.module.brokers) == 0 {
			return target{}, usagef("what to read? give --topic, and --module or --brokers")
		}
		t, err := f.module.clusterAlone()
		t.topic, t.valueType = f.topic, f.valueType
		return t, err
	}
	m, err := f.module.load(p)
	if err != nil {
		return target{}, err
	}
	if f.topic == "" {
		return target{}, usagef("give --topic: a module does not name its egress topics, its functions do. It names %s", strings.Join(namedTopics(m), ", "))
	}
	t, err := f.module.cluster(m)
	if err != nil {
		return target{}, err
	}
	t.topic = f.topic
	for _, in := range m.Ingresses {
		for _, it := range in.Topics {
			if it.Topic == f.topic {
				t.valueType = it.ValueType
			}
		}
	}
	if f.valueType != "" {
		t.valueType = f.valueType
	}
	return t, nil
}

// namedTopics are the topics that the module tells of.
func namedTopics(m *module.Module) []string {
	var list []string
	for _, in := range m.Ingresses {
		for _, t := range in.Topics {
			list = append(list, t.Topic+" (ingress)")
		}
	}
	return append(list, m.Application.DeadLetter.Topic+" (dead-letter)")
}

// tailer reads one topic and prints what it reads.
type tailer struct {
	cl    *kgo.Client
	topic string
	max   int // 0: no end
	count int
	print func(*kgo.Record) error
}

func (t *tailer) run(ctx context.Context, p *program, fromStart bool) error {
	offsets, err := t.offsets(ctx, p, fromStart)
	if err != nil {
		return err
	}
	t.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.topic: offsets})
	p.log.Info("reading", "topic", t.topic, "partitions", len(offsets), "from_start", fromStart)
	for {
		fetches := t.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topic %s: %w", t.topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if err := t.print(it.Next()); err != nil {
				return err
			}
			if t.count++; t.count == t.max {
				return nil
			}
		}
	}
}

// offsets are where reading begins. The end is looked up now, not when the first fetch goes out: a record that is sent after
// the start must not be missed.
func (t *tailer) offsets(ctx context.Context, p *program, fromStart bool) (map[int32]kgo.Offset, error) {
	waited := false
	for {
		count, err := t.partitions(ctx)
		if err != nil {
			return nil, err
		}
		if count > 0 {
			return t.positions(ctx, count, fromStart || waited)
		}
		if !waited {
			waited = true
			p.log.Info("the topic does not exist yet: waiting", "topic", t.topic)
		}
		select {
		case <-time.After(topicPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// partitions is the partition count, 0 while the topic does not exist.
func (t *tailer) partitions(ctx context.Context) (int, error) {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(t.topic)
	req.Topics = append(req.Topics, topic)
	md, err := req.RequestWith(ctx, t.cl)
	if err != nil {
		return 0, fmt.Errorf("look up topic %s: %w", t.topic, err)
	}
	if len(md.Topics) == 0 {
		return 0, nil
	}
	found := md.Topics[0]
	err = kerr.ErrorForCode(found.ErrorCode)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), kerr.IsRetriable(err):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("look up topic %s: %w", t.topic, err)
	}
	return len(found.Partitions), nil
}

func (t *tailer) positions(ctx context.Context, count int, fromStart bool) (map[int32]kgo.Offset, error) {
	offsets := make(map[int32]kgo.Offset)
	if fromStart {
		for p := range int32(count) {
			offsets[p] = kgo.NewOffset().AtStart()
		}
		return offsets, nil
	}
	ends, err := kadm.NewClient(t.cl).ListCommittedOffsets(ctx, t.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("look up the end of topic %s: %w", t.topic, err)
	}
	ends.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = kgo.NewOffset().At(o.Offset) })
	return offsets, nil
}
