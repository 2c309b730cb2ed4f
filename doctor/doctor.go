// Package doctor holds a cluster and a module against the preconditions of the promises and says what to change.
//
// It works in three steps that know little of each other. Gather asks the cluster and the endpoints and fills Facts;
// nothing is judged there. Judge is a table of pure rules over Facts. Print shows what they found, to people or to
// programs. A rule can therefore be tried with facts that no cluster at hand has.
//
// Nothing is created or changed. The client that asks knows only requests that read (see readOnly), so not even a
// mistake here could write.
package doctor

import (
	"fmt"
	"slices"
)

// Status is what a check came to.
type Status string

// The statuses, from the best to the worst.
const (
	// OK: the precondition holds.
	OK Status = "ok"
	// Unknown: the cluster does not tell, mostly because the user may not read it.
	Unknown Status = "unknown"
	// Warning: every promise holds, at a price or as long as nothing else fails.
	Warning Status = "warning"
	// Broken: a promise does not hold, or the workers cannot run.
	Broken Status = "broken"
)

// worse orders the statuses.
var worse = []Status{OK, Unknown, Warning, Broken}

// Finding is one line of the report.
type Finding struct {
	// ID names the check; it does not change between releases.
	ID string `json:"id"`
	// Area groups checks for people.
	Area string `json:"area"`
	// Promise is the one that the check protects, with its number.
	Promise string `json:"promise"`
	// Subject is the topic, broker, endpoint or member that it is about; empty: the cluster.
	Subject string `json:"subject,omitempty"`
	Status  Status `json:"status"`
	// Found is what was seen.
	Found string `json:"found"`
	// Advice is what to do; empty when there is nothing to do.
	Advice string `json:"advice,omitempty"`
}

// Report is everything that was found.
type Report struct {
	Application string    `json:"application"`
	ClusterID   string    `json:"clusterId"`
	Brokers     int       `json:"brokers"`
	Findings    []Finding `json:"findings"`
}

// Count is how many findings have the status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// Judge applies every check to the facts.
func Judge(f *Facts) *Report {
	r := &Report{Application: f.Application, ClusterID: f.ClusterID, Brokers: len(f.Brokers)}
	for _, c := range checks {
		if f.Unreachable != "" && !c.withoutCluster {
			continue // that nobody answers is one finding; thirty that follow from it would hide it
		}
		for _, v := range c.verdicts(f) {
			r.Findings = append(r.Findings, Finding{
				ID: c.id, Area: c.area, Promise: c.promise,
				Subject: v.subject, Status: v.status, Found: v.found, Advice: v.advice,
			})
		}
	}
	return r
}

// verdict is what a rule says of one subject.
type verdict struct {
	subject       string
	status        Status
	found, advice string
}

func ok(format string, args ...any) verdict {
	return verdict{status: OK, found: fmt.Sprintf(format, args...)}
}

func unknown(advice, format string, args ...any) verdict {
	return verdict{status: Unknown, found: fmt.Sprintf(format, args...), advice: advice}
}

func warning(advice, format string, args ...any) verdict {
	return verdict{status: Warning, found: fmt.Sprintf(format, args...), advice: advice}
}

func broken(advice, format string, args ...any) verdict {
	return verdict{status: Broken, found: fmt.Sprintf(format, args...), advice: advice}
}

// of names what the verdict is about.
func (v verdict) of(subject string) verdict {
	v.subject = subject
	return v
}

// verdicts are those of the rule, the worst first. Subjects that are fine are summed up by one line, which the rule gives
// as the last verdict without a subject; it is left out when something is wrong.
func (c *check) verdicts(f *Facts) []verdict {
	all := c.rule(f)
	if len(all) > 1 {
		bad := slices.ContainsFunc(all, func(v verdict) bool { return v.status != OK })
		all = slices.DeleteFunc(all, func(v verdict) bool { return bad && v.status == OK && v.subject == "" })
	}
	slices.SortStableFunc(all, func(a, b verdict) int {
		return slices.Index(worse, b.status) - slices.Index(worse, a.status)
	})
	return all
}
