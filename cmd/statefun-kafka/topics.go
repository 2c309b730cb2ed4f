package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/statefun-kafka/statefun-kafka/topics"
)

type topicsFlags struct {
	module            moduleFlags
	output            outputFlag
	create            bool
	createIngress     bool
	partitions        int32
	ingressPartitions int32
	replication       int16
	egress            topicsValue
	timeout           time.Duration
}

func newTopics(p *program) *cobra.Command {
	var flags topicsFlags
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Show, check and create the topics of an application",
		Long: `Show the topics of an application as they are on the cluster or would be created, and check them.

A wrong setting is named with the command that mends it. With --create the missing topics are created; a worker
does the same when it starts, except for ingress topics, which need --create-ingress here.

An application that is a Go program needs no module: with --application-id and --brokers its cluster tells the topics,
as far as the application has run there. The last line says what is not checked then.`,
		Example: `  statefun-kafka topics --module module.yaml
  statefun-kafka topics --module module.yaml --create --replication 3
  statefun-kafka topics --module module.yaml --create --create-ingress --topic greetings:4
  statefun-kafka topics --application-id shop --brokers kafka:9092     # a Go program's
  statefun-kafka topics --application-id shop --brokers kafka:9092 --create --partitions 8   # before its first start`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTopics(cmd.Context(), p, flags) },
	}
	flags.module.addForCluster(cmd.Flags())
	flags.output.add(cmd.Flags())
	cmd.Flags().BoolVar(&flags.create, "create", false, "create what is missing")
	cmd.Flags().BoolVar(&flags.createIngress, "create-ingress", false, "let --create create missing ingress topics too")
	cmd.Flags().Int32Var(&flags.partitions, "partitions", 0, "partitions of the application; default: the module's, else those of its largest ingress topic")
	cmd.Flags().Int32Var(&flags.ingressPartitions, "ingress-partitions", 0, "partitions of created ingress topics; default: those of the application, else 4")
	cmd.Flags().Int16Var(&flags.replication, "replication", 0, "replication factor of created topics; default: the broker's")
	cmd.Flags().Var(&flags.egress, "topic", "egress topic to create too, like greetings:4; may be repeated")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 60*time.Second, "give up after this time")
	return cmd
}

func runTopics(ctx context.Context, p *program, flags topicsFlags) error {
	asJSON, err := flags.output.json()
	if err != nil {
		return err
	}
	m, err := flags.module.application(p)
	if err != nil {
		return err
	}
	on, err := flags.module.cluster(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	cl, err := on.reader(p)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := on.reach(ctx, p, cl); err != nil {
		return err
	}
	if m.Bare {
		if m, err = topics.Discover(ctx, cl, m); err != nil {
			return err
		}
	}
	plan, err := topics.New(ctx, cl, m, flags.options())
	if plan == nil {
		return err
	}
	if err == nil && flags.create {
		err = plan.Create(ctx, cl)
	}
	if m.Bare && len(plan.Topics) == 0 { // there is nothing to show of an application that is not there
		return err
	}
	printPlan := printPlanText
	if asJSON {
		printPlan = printPlanJSON
	}
	if printErr := printPlan(p, plan); printErr != nil {
		return printErr
	}
	return err
}

func (f *topicsFlags) options() topics.Options {
	opt := topics.Options{
		Partitions: f.partitions, Replication: f.replication,
		// Without --create a missing ingress topic is shown as one that would be created only where it would be.
		CreateIngress: f.createIngress, IngressPartitions: f.ingressPartitions,
	}
	for _, t := range f.egress.list {
		opt.Egress = append(opt.Egress, topics.Topic{Name: t.Name, Partitions: t.Partitions})
	}
	return opt
}

func printPlanText(p *program, plan *topics.Plan) error {
	fmt.Fprintf(p.out, "application %s, %d partitions, transaction version %d\n\n", plan.ApplicationID, plan.Partitions, plan.TransactionVersion)
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tROLE\tPARTITIONS\tREPLICATION\tSTATE\tSETTINGS")
	for _, t := range plan.Topics {
		replication := fmt.Sprint(t.Replication)
		if t.Replication < 0 {
			replication = "broker's"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", t.Name, t.Role, t.Partitions, replication, stateOf(t), settings(t.Configs))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, warning := range plan.Warnings {
		fmt.Fprintf(p.out, "\nwarning: %s\n", warning)
	}
	if not := plan.NotChecked(); not != "" {
		fmt.Fprintf(p.out, "\n%s\n", not)
	}
	return nil
}

func stateOf(t topics.Topic) string {
	if t.Exists {
		return "exists"
	}
	return "missing"
}

func settings(configs map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(configs)) {
		list = append(list, key+"="+configs[key])
	}
	return strings.Join(list, " ")
}

func printPlanJSON(p *program, plan *topics.Plan) error {
	type topic struct {
		Name        string            `json:"name"`
		Role        string            `json:"role"`
		Partitions  int32             `json:"partitions"`
		Replication int16             `json:"replication"`
		Exists      bool              `json:"exists"`
		Configs     map[string]string `json:"configs"`
	}
	out := struct {
		Application        string   `json:"application"`
		Partitions         int32    `json:"partitions"`
		TransactionVersion int      `json:"transactionVersion"`
		Topics             []topic  `json:"topics"`
		Warnings           []string `json:"warnings"`
		NotChecked         string   `json:"notChecked,omitempty"`
	}{plan.ApplicationID, plan.Partitions, plan.TransactionVersion, nil, append([]string{}, plan.Warnings...), plan.NotChecked()}
	for _, t := range plan.Topics {
		out.Topics = append(out.Topics, topic{t.Name, t.Role, t.Partitions, t.Replication, t.Exists, t.Configs})
	}
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}
