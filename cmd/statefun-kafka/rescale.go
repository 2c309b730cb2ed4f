package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/rescale"
)

type rescaleFlags struct {
	module                                moduleFlags
	output                                outputFlag
	partitions                            int32
	workDir                               string
	fence                                 bool
	dryRun, verifyOnly, abort, deletesOld bool
}

func newRescale(p *program) *cobra.Command {
	var flags rescaleFlags
	cmd := &cobra.Command{
		Use:   "rescale",
		Short: "Change the number of partitions of a stopped application",
		Long: `Change the number of partitions of a stopped application.

State, waiting inputs, delayed messages, positions and unread messages are written to new topics, where each address is
in the partition that the new count gives it; they are read back and compared; then one transaction makes them count.
A run that was cut short is run again: it begins anew, or ends what only lacks its end. Until one of them is through,
no worker starts; --abort leaves the application as it was.

The old topics are kept until --delete-old. Where the module gives partitions, change them there too.
An application that is a Go program needs no module: --application-id and --brokers say which it is.
The exit code is 1 when a run is refused or fails, or when --verify-only finds a difference.`,
		Example: `  statefun-kafka rescale --module module.yaml --partitions 12 --dry-run   # what would be moved, and what is in the way
  statefun-kafka rescale --module module.yaml --partitions 12
  statefun-kafka rescale --module module.yaml --verify-only               # compare again, before the first worker starts
  statefun-kafka rescale --module module.yaml --abort                     # give up one that was cut short
  statefun-kafka rescale --module module.yaml --delete-old                # once the application runs well
  statefun-kafka rescale --application-id shop --brokers kafka:9092 --partitions 12   # a Go program's`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRescale(cmd.Context(), p, flags) },
	}
	flags.module.addForCluster(cmd.Flags())
	flags.output.add(cmd.Flags())
	cmd.Flags().Int32Var(&flags.partitions, "partitions", 0, "the new number of partitions")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "write nothing: show the rows of each partition, and what is in the way")
	cmd.Flags().BoolVar(&flags.verifyOnly, "verify-only", false, "compare the topics of the last rescale with the old ones")
	cmd.Flags().BoolVar(&flags.abort, "abort", false, "throw away what an incomplete rescale has written")
	cmd.Flags().BoolVar(&flags.deletesOld, "delete-old", false, "delete the old topics of complete rescales")
	cmd.Flags().BoolVar(&flags.fence, "fence", false, "end open transactions of workers that are gone, in place of refusing")
	cmd.Flags().StringVar(&flags.workDir, "work-dir", "", "folder for the rows while they are sorted; it takes twice the state's size; default: the system's for temporary files")
	return cmd
}

func runRescale(ctx context.Context, p *program, flags rescaleFlags) error {
	asJSON, err := flags.output.json()
	if err != nil {
		return err
	}
	command, err := flags.command()
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
	config := rescale.Config{
		ApplicationID: m.Application.ID, Partitions: flags.partitions, WorkDir: flags.workDir, Fence: flags.fence,
		Logger: p.log, Progress: func(s rescale.Progress) { fmt.Fprintln(p.err, progressLine(s)) },
	}
	if config.Reading, config.Producing, err = on.settings(p); err != nil {
		return err
	}
	if err := reachBefore(ctx, p, on, config.Reading); err != nil {
		return err
	}
	report, err := command(ctx, config)
	if err != nil {
		return err
	}
	show := printRescale
	if asJSON {
		show = printRescaleJSON
	}
	if err := show(p.out, report); err != nil {
		return err
	}
	if m.Bare && report.State == rescale.StateComplete {
		p.log.Info("where the program sets Options.Partitions, give it the new number", "partitions", flags.partitions)
	}
	if len(report.Obstacles) > 0 || len(report.Differences) > 0 {
		return errReported
	}
	return nil
}

// reachBefore spares a rescale the wait for brokers that are not there.
func reachBefore(ctx context.Context, p *program, on target, settings kafka.Settings) error {
	cl, err := settings.Open()
	if err != nil {
		return err
	}
	defer cl.Close()
	return on.reach(ctx, p, cl)
}

// command is the one that the flags ask for.
func (f *rescaleFlags) command() (func(context.Context, rescale.Config) (*rescale.Report, error), error) {
	command, chosen, counts := rescale.Run, 0, true
	for _, choice := range []struct {
		given, counts bool
		command       func(context.Context, rescale.Config) (*rescale.Report, error)
	}{{f.dryRun, true, rescale.DryRun}, {f.verifyOnly, false, rescale.Verify}, {f.abort, false, rescale.Abort}, {f.deletesOld, false, rescale.DeleteOld}} {
		if choice.given {
			command, counts = choice.command, choice.counts
			chosen++
		}
	}
	if chosen > 1 || counts != (f.partitions > 0) || f.partitions < 0 {
		return nil, usagef("give --partitions N, 1 or more, with or without --dry-run, or one of --verify-only, --abort and --delete-old")
	}
	return command, nil
}

func progressLine(s rescale.Progress) string {
	line := fmt.Sprintf("%s: %d", s.Phase, s.Done)
	if s.Total > 0 {
		line += fmt.Sprintf(" of %d", s.Total)
	}
	line += fmt.Sprintf(" rows, %.0f rows/s", s.PerSecond())
	if left, known := s.Remaining(); known && s.Total > s.Done {
		line += fmt.Sprintf(", %s left", left.Round(100*time.Millisecond))
	}
	return line
}

func printRescale(out io.Writer, r *rescale.Report) error {
	fmt.Fprintf(out, "application %s: %s", r.Application, r.State)
	if r.ToPartitions > 0 {
		fmt.Fprintf(out, ", %d partitions to %d", r.FromPartitions, r.ToPartitions)
	}
	fmt.Fprintf(out, ", %.1f s\n", float64(r.TookMs)/1000)
	for _, name := range r.Deleted {
		fmt.Fprintf(out, "deleted %s\n", name)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Kinds) > 0 {
		fmt.Fprintln(w, "\nKIND\tROWS\tBYTES\tCHECKSUM\tREAD BACK\tCHECKSUM\t")
	}
	for _, k := range r.Kinds {
		back := "-"
		if k.WrittenChecksum != "" {
			back = fmt.Sprint(k.WrittenRows)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t\n", k.Kind, k.Rows, k.Bytes, k.Checksum, back, k.WrittenChecksum)
	}
	partitionLines(w, "OLD PARTITION", r.From)
	partitionLines(w, "NEW PARTITION", r.To)
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Unread > 0 {
		fmt.Fprintf(out, "\n%d unread messages of the mailbox become pending inputs\n", r.Unread)
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(out, "\n%d cancellation tokens are left out: their delayed messages are gone\n", r.LeftOut)
	}
	for _, o := range r.Obstacles {
		fmt.Fprintf(out, "in the way: %s\n", o)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(out, "different: %s\n", d)
	}
	if r.State == rescale.StateComplete {
		fmt.Fprintf(out, "\nThe old topics %v are kept. Once the application runs well, delete them: statefun-kafka rescale --delete-old\n", r.FromTopics)
	}
	return nil
}

func partitionLines(w io.Writer, title string, list []rescale.Partition) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\tROWS\tBYTES\t\n", title)
	for _, p := range list {
		fmt.Fprintf(w, "%d\t%d\t%d\t\n", p.Partition, p.Rows, p.Bytes)
	}
}

func printRescaleJSON(out io.Writer, r *rescale.Report) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
