package doctor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
)

// worthMending is a clock difference that is no longer an ordinary one between machines that keep their time.
const worthMending = 2 * time.Second

// clockDifference: delayed messages fire by the workers' clocks, a local copy is too old to use after half of the time that
// tombstones are kept, and brokers refuse records from too far in the future.
func clockDifference(f *Facts) []verdict {
	const advice = "let NTP or chrony set the clock of this machine and of the brokers"
	c := f.Clock
	if !c.Measured {
		return []verdict{unknown("make sure that all machines keep their time by NTP", "the cluster does not tell its time: %s", c.Error)}
	}
	off, shown := c.Ahead.Abs(), fmt.Sprintf("this machine is %s %s the active controller (± %s)", c.Ahead.Abs().Round(time.Millisecond), side(c.Ahead), c.Margin.Round(time.Millisecond))
	if limit, topic := f.future(); c.Ahead-c.Margin > limit {
		return []verdict{broken(advice, "%s: topic %s refuses records that are more than %s in the future", shown, topic, limit)}
	}
	if f.Plan != nil && off-c.Margin > f.Plan.TombstoneRetention/2 {
		return []verdict{broken(advice, "%s, more than half of the %s that deletions stay in the changelog: a worker may take a copy for current that lacks some", shown, f.Plan.TombstoneRetention)}
	}
	if off-c.Margin > worthMending {
		return []verdict{warning(advice, "%s: delayed messages fire early or late by that when their partition moves", shown)}
	}
	return []verdict{ok("%s; the other brokers do not tell their time", shown)}
}

func side(ahead time.Duration) string {
	if ahead < 0 {
		return "behind"
	}
	return "ahead of"
}

// future is how far in the future a record may be on the topic that allows least.
func (f *Facts) future() (limit time.Duration, topic string) {
	limit = math.MaxInt64
	for _, name := range []string{f.Changelog, f.Mailbox, f.DeadLetter} {
		t := f.Topics[name]
		if t == nil || !t.Exists {
			continue
		}
		ms, err := strconv.ParseInt(t.Settings["message.timestamp.after.max.ms"], 10, 64)
		if err == nil && ms < limit.Milliseconds() {
			limit, topic = milliseconds(ms), name
		}
	}
	return limit, topic
}

// abortPause is how often Kafka looks for transactions that are over their time, unless it tells.
const abortPause = 10 * time.Second

func hangingTransactions(f *Facts) []verdict {
	pause := abortPause
	if told, is, _ := f.most("transaction.abort.timed.out.transaction.cleanup.interval.ms"); is {
		pause = milliseconds(told.value)
	}
	var list []verdict
	asked := 0
	for _, t := range f.Topics {
		switch {
		case !t.written():
		case t.ProducersError != "":
			list = append(list, unknown("", "open transactions are not told: %s", t.ProducersError).of(t.Name))
		default:
			asked++
		}
	}
	slices.SortFunc(list, func(a, b verdict) int { return strings.Compare(a.subject, b.subject) })
	running := 0
	for _, o := range f.Transactions.Open {
		v, hangs := f.judgeOpen(o, pause)
		if hangs {
			list = append(list, v.of(fmt.Sprintf("%s/%d", o.Topic, o.Partition)))
		} else {
			running++
		}
	}
	return append(list, ok("none; %s looked at, %s open as usual", plural(asked, "topic", "topics"), plural(running, "transaction is", "transactions are")))
}

// judgeOpen: a transaction of a worker ends within the workers' time-out, another one within its own. What no coordinator
// knows has no end; Kafka itself takes it for hanging after its longest time-out, so that long it is only suspected.
func (f *Facts) judgeOpen(o OpenTransaction, pause time.Duration) (verdict, bool) {
	own := slices.Contains([]string{f.Mailbox, f.Changelog, f.DeadLetter}, o.Topic)
	limit := o.Timeout
	if own && (limit == 0 || f.TransactionTimeout < limit) {
		limit = f.TransactionTimeout
	}
	known := o.TransactionalID != ""
	if !known && !own {
		limit = longestTransaction
		if told, is, _ := f.most("transaction.max.timeout.ms"); is {
			limit = milliseconds(told.value)
		}
	}
	if o.Age <= limit+pause {
		return verdict{}, false
	}
	found := fmt.Sprintf("open for %s from offset %d, nothing after it is read: producer id %d epoch %d, ", o.Age.Round(time.Second), o.StartOffset, o.ProducerID, o.ProducerEpoch)
	advice := fmt.Sprintf("kafka-transactions.sh --bootstrap-server %s abort --topic %s --partition %d --start-offset %d", f.Addresses, o.Topic, o.Partition, o.StartOffset)
	if !known {
		return broken(advice, "%s", found+"which no coordinator that this user may ask knows"), true
	}
	found += fmt.Sprintf("transactional id %s, time-out %s", o.TransactionalID, o.Timeout)
	if left := o.Timeout + pause - o.Age; left > 0 {
		advice = fmt.Sprintf("stop who uses that transactional id; Kafka aborts it within %s, or at once: %s", left.Round(time.Second), advice)
	}
	return broken(advice, "%s", found), true
}

// longestTransaction is Kafka's default for transaction.max.timeout.ms.
const longestTransaction = 15 * time.Minute

// groupMembers looks for members that are no workers of this application, and for workers that others take for themselves.
func groupMembers(f *Facts) []verdict {
	g := &f.Group
	ours := slices.Contains([]string{"", module.GroupClassic, module.GroupConsumer}, g.Kind)
	switch {
	case g.Error != "":
		return []verdict{unknown("allow Describe on the group", "the group could not be read: %s", g.Error)}
	case !ours:
		return []verdict{broken("stop it, or give the application another id", "the name %s is taken by a group of kind %s", f.Application, g.Kind)}
	case !g.Asked || len(g.Members) == 0:
		return []verdict{ok("no worker runs")}
	}
	var list []verdict
	if g.Kind != "" && g.Kind != f.Protocol {
		list = append(list, warning("stop all workers before you change groupProtocol: the two do not share a group", "the group that runs is of kind %s, the module asks for %s", g.Kind, f.Protocol))
	}
	named := map[string]Member{}
	for _, m := range g.Members {
		place := fmt.Sprintf("member %s (client %s at %s)", orText(m.Name, m.ID), m.Client, m.Host)
		if other, twice := named[m.Name]; twice && m.Name != "" {
			list = append(list, broken("give each worker its own "+naming.WorkerID.String()+", and do not copy state folders", "has the name of the one at %s: they fence each other", other.Host).of(place))
		}
		named[m.Name] = m
		switch {
		case m.Topics != nil && !slices.Equal(m.Topics, []string{f.Mailbox}):
			list = append(list, broken("stop it, or give it another group: it takes partitions that no worker then serves", "is no worker of this application: it subscribes to %s", strings.Join(m.Topics, ", ")).of(place))
		case m.Name == "":
			list = append(list, warning("find out what it is; a worker has a name that outlives it", "has no name").of(place))
		case m.Strange != "":
			list = append(list, warning("finish the rolling restart: until then partitions are dealt without regard to the state that it has", "%s", m.Strange).of(place))
		}
	}
	return append(list, ok("%s, group %s", plural(len(g.Members), "worker", "workers"), g.State))
}

func endpointsReachable(f *Facts) []verdict {
	if f.Bare {
		return []verdict{unknown("", "not known without a module")}
	}
	if f.Endpoints == nil {
		return []verdict{unknown("", "not tried (--endpoints=false)")}
	}
	var list []verdict
	for _, e := range f.Endpoints {
		switch {
		case e.Skipped != "":
			list = append(list, unknown("", "%s not tried: %s", e.URL, e.Skipped).of(e.Functions))
		case e.Error != "":
			list = append(list, warning("start the functions, or correct urlPathTemplate; until then their inputs wait, all others go on", "%s: %s", e.URL, e.Error).of(e.Functions))
		case e.TLS != "":
			list = append(list, ok("%s: connected, %s", e.URL, e.TLS).of(e.Functions))
		default:
			list = append(list, ok("%s: connected", e.URL).of(e.Functions))
		}
	}
	if len(list) == 0 {
		list = append(list, ok("the module has none"))
	}
	return list
}
