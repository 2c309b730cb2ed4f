package topics

import (
	"context"
	"regexp"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The mailbox and the changelog of an application have a generation, which a rescale raises: a topic cannot get fewer
// partitions, and more of them would not move the rows that are there. Generation 1 has the plain names; the topics of a later
// one end in its number:
//
//	<app>-changelog  <app>-mailbox            generation 1
//	<app>-changelog-g2  <app>-mailbox-g2      generation 2
//	<app>-rescale-journal                     exists from the beginning of a rescale to its end
//
// The highest generation counts. That is safe because no worker starts while the journal exists, and the journal is there
// before the first topic of a new generation and after it is complete.

// MailboxOf is the name of the mailbox topic of a generation.
func MailboxOf(applicationID string, generation int) string {
	return Mailbox(applicationID) + generationEnding(generation)
}

// ChangelogOf is the name of the changelog topic of a generation.
func ChangelogOf(applicationID string, generation int) string {
	return Changelog(applicationID) + generationEnding(generation)
}

// RescaleJournal is the name of the topic that exists while a rescale is incomplete.
func RescaleJournal(applicationID string) string { return applicationID + "-rescale-journal" }

func generationEnding(generation int) string {
	if generation <= 1 {
		return ""
	}
	return "-g" + strconv.Itoa(generation)
}

// Existing is a topic as the cluster has it.
type Existing struct {
	ID          [16]byte
	Partitions  int32
	Replication int16
	// Usable is set when every partition has a leader.
	Usable bool
}

// Generations are the topics of the cluster, seen as generations of one application.
type Generations struct {
	// Current is the highest one, 0 when there is none. While Rescaling it may be incomplete.
	Current   int
	Rescaling bool
	// Topics are all topics of the cluster that the client may see.
	Topics map[string]Existing
}

// generationForm matches the mailbox and changelog topics of all generations, and takes the number out.
func generationForm(applicationID string) *regexp.Regexp {
	return regexp.MustCompile("^(?:" + regexp.QuoteMeta(Changelog(applicationID)) + "|" + regexp.QuoteMeta(Mailbox(applicationID)) + `)(?:-g([2-9]|[1-9][0-9]{1,8}))?$`)
}

// FindGenerations asks a broker for all topics.
func FindGenerations(ctx context.Context, cl *kgo.Client, applicationID string) (Generations, error) {
	all, err := readTopics(ctx, cl, nil)
	if err != nil {
		return Generations{}, err
	}
	g := Generations{Topics: map[string]Existing{}}
	form := generationForm(applicationID)
	for name, f := range all.topics {
		g.Topics[name] = Existing{ID: f.id, Partitions: f.partitions, Replication: f.replication, Usable: !f.leaderless}
		if m := form.FindStringSubmatch(name); m != nil {
			g.Current = max(g.Current, max(1, int(number(m[1]))))
		}
	}
	_, g.Rescaling = g.Topics[RescaleJournal(applicationID)]
	return g, nil
}

// TransactionVersion is the cluster's level of the transaction protocol, as in a Plan.
func TransactionVersion(ctx context.Context, cl *kgo.Client) (int, error) {
	return readTransactionVersion(ctx, kadm.NewClient(cl))
}

// Generation is the generation that counts, 1 for an application that was never rescaled.
func (p *Plan) Generation() int { return max(p.generation, 1) }

// MailboxName is the mailbox topic of the generation that counts.
func (p *Plan) MailboxName() string { return MailboxOf(p.ApplicationID, p.generation) }

// ChangelogName is the changelog topic of the generation that counts.
func (p *Plan) ChangelogName() string { return ChangelogOf(p.ApplicationID, p.generation) }

// incomplete is the problem of a rescale that was begun and not ended.
func (p *Plan) incomplete() Problem {
	return Problem{
		Topic: RescaleJournal(p.ApplicationID), Setting: "rescale", Found: "incomplete", Wanted: "complete",
		Mend: "statefun-kafka rescale --partitions N, which goes on with it, or statefun-kafka rescale --abort, which leaves the application as it was",
	}
}
