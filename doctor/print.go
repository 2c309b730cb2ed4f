package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Print writes the report for people: a table an area, below it what to do, and a line that sums up.
func (r *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "application %s on cluster %s, %s\n", r.Application, orText(r.ClusterID, "unknown"), plural(r.Brokers, "broker", "brokers"))
	area := ""
	var table *tabwriter.Writer
	for _, f := range r.Findings {
		if f.Area != area {
			if err := flush(table); err != nil {
				return err
			}
			area = f.Area
			fmt.Fprintf(w, "\n%s\n", area)
			table = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", f.Status, f.ID, strings.ReplaceAll(f.text(), "\n", " "))
	}
	if err := flush(table); err != nil {
		return err
	}
	r.printAdvice(w)
	_, err := fmt.Fprintf(w, "\n%d ok, %d unknown, %s, %d broken%s\n", r.Count(OK), r.Count(Unknown), plural(r.Count(Warning), "warning", "warnings"), r.Count(Broken), r.conclusion())
	return err
}

func flush(table *tabwriter.Writer) error {
	if table == nil {
		return nil
	}
	return table.Flush()
}

func (f Finding) text() string {
	if f.Subject == "" {
		return f.Found
	}
	return f.Subject + ": " + f.Found
}

// printAdvice repeats what is not well with the promise and the way out, the worst first: commands are longer than a table's
// line.
func (r *Report) printAdvice(w io.Writer) {
	for _, status := range []Status{Broken, Warning, Unknown} {
		title := map[Status]string{Broken: "to change", Warning: "worth changing", Unknown: "to find out"}[status]
		for _, a := range r.advices(status) {
			if title != "" {
				fmt.Fprintf(w, "\n%s\n", title)
				title = ""
			}
			fmt.Fprintf(w, "  %s (protects %s):\n      %s\n", strings.Join(a.places, ", "), strings.Join(a.promises, ", "), a.text)
		}
	}
}

// advice is one way out, with everything that it is for.
type advice struct {
	text             string
	places, promises []string
	last             string // check that was added
}

// place is the check and what it is about; the check is not said twice in a row.
func (f Finding) place(last string) string {
	switch {
	case f.Subject == "":
		return f.ID
	case f.ID == last:
		return f.Subject
	}
	return f.ID + " of " + f.Subject
}

func (r *Report) advices(status Status) []advice {
	var list []advice
	for _, f := range r.Findings {
		if f.Status != status || f.Advice == "" {
			continue
		}
		at := slices.IndexFunc(list, func(a advice) bool { return a.text == f.Advice })
		if at < 0 {
			at = len(list)
			list = append(list, advice{text: f.Advice})
		}
		a := &list[at]
		a.places = append(a.places, f.place(a.last))
		a.last = f.ID
		if !slices.Contains(a.promises, f.Promise) {
			a.promises = append(a.promises, f.Promise)
		}
	}
	return list
}

func (r *Report) conclusion() string {
	if r.Count(Broken) > 0 {
		return ": a promise would not hold"
	}
	return ": nothing here breaks a promise"
}

// PrintJSON writes the report for programs.
func (r *Report) PrintJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}
