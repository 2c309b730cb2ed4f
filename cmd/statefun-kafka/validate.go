package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
)

func newValidate(p *program) *cobra.Command {
	var flags moduleFlags
	cmd := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check modules and print everything that is wrong with them",
		Long: `Check modules and print everything that is wrong with them, a line a problem: file:line:column: what (the way out).

Several files, or the files of a folder, are checked together as one module, as run would take them. No broker and no
function is contacted. The exit code is 2 when there is a problem; warnings alone leave it at 0.`,
		Example: `  statefun-kafka validate module.yaml
  statefun-kafka validate --lenient modules/`,
		RunE: func(_ *cobra.Command, args []string) error {
			flags.paths = append(flags.paths, args...)
			return runValidate(p, flags)
		},
	}
	flags.add(cmd.Flags())
	return cmd
}

func runValidate(p *program, flags moduleFlags) error {
	if len(flags.paths) == 0 {
		return usagef("no module: name a file or a folder")
	}
	m, err := module.Load(flags.paths, flags.options(p))
	var problems module.Errors
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	var warnings []module.Problem
	if m != nil {
		warnings = append(kafka.Warnings(m), m.Warnings...)
	}
	module.SortProblems(problems)
	module.SortProblems(warnings)
	for _, w := range warnings {
		fmt.Fprintf(p.out, "%s: warning: %s\n", place(w), sentence(w))
	}
	for _, problem := range problems {
		fmt.Fprintf(p.out, "%s: %s\n", place(problem), sentence(problem))
	}
	if len(problems) > 0 {
		fmt.Fprintf(p.out, "%s, %s\n", count(len(problems), "problem"), count(len(warnings), "warning"))
		return errors.Join(errReported, problems)
	}
	for _, note := range m.Notes() {
		fmt.Fprintf(p.out, "%s: note: %s\n", place(note), sentence(note))
	}
	fmt.Fprintln(p.out, summary(m, len(warnings)))
	return nil
}

// place is file:line:column, as far as it is known.
func place(p module.Problem) string {
	text := p.File
	if text == "" {
		text = "module"
	}
	if p.Line > 0 {
		text += fmt.Sprintf(":%d", p.Line)
		if p.Column > 0 {
			text += fmt.Sprintf(":%d", p.Column)
		}
	}
	return text
}

func sentence(p module.Problem) string {
	p.Position = module.Position{} // place tells it
	return naming.ForCommand(p).Error()
}

func summary(m *module.Module, warnings int) string {
	var list []string
	for _, in := range m.Ingresses {
		for _, t := range in.Topics {
			list = append(list, t.Topic)
		}
	}
	slices.Sort(list)
	return fmt.Sprintf("valid: application %s on %s, %s, %s reading %s, %s, %s",
		m.Application.ID, strings.Join(m.Brokers, ","), count(len(m.Endpoints), "endpoint"), count(len(m.Ingresses), "ingress"),
		strings.Join(slices.Compact(list), ", "), count(len(m.Egresses), "egress"), count(warnings, "warning"))
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
