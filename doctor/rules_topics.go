package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/topics"
)

// missing is what the plan says of a topic that is not there.
const missing = "missing"

func noPlan(f *Facts) []verdict {
	return []verdict{unknown("allow Describe and DescribeConfigs on the topics of the application and of its ingresses", "the topics could not be read: %s", f.PlanError)}
}

// topicSettings passes on what the check of a worker's start refuses; topics is the one place with an opinion of it.
func topicSettings(f *Facts) []verdict {
	if f.Plan == nil {
		return noPlan(f)
	}
	var list []verdict
	for _, p := range f.Problems {
		if p.Found != missing {
			list = append(list, broken(p.Mend, "%s is %s, want %s", p.Setting, p.Found, p.Wanted).of(p.Topic))
		}
	}
	return append(list, ok("%d partitions; what exists has the settings that workers ask for, what does not is created with them", f.Plan.Partitions))
}

// topicPair finds half an application: one of the two topics was deleted, or copied without the other.
func topicPair(f *Facts) []verdict {
	mailbox, changelog := f.Topics[f.Mailbox], f.Topics[f.Changelog]
	has := func(t *Topic) bool { return t != nil && (t.Exists || t.Error != "") }
	if has(mailbox) == has(changelog) {
		if has(mailbox) {
			return []verdict{ok("mailbox and changelog are both there")}
		}
		return []verdict{ok("neither mailbox nor changelog is there: the first worker creates them")}
	}
	there, gone := f.Mailbox, f.Changelog
	if has(changelog) {
		there, gone = gone, there
	}
	return []verdict{broken(fmt.Sprintf("put %s back, or delete %s too to begin without the state", gone, there),
		"%s exists and %s does not: state and messages were lost with it", there, gone).of(gone)}
}

// shortTombstones makes worker copies useless after a pause that happens every day.
const shortTombstones = 4 * time.Hour

func tombstones(f *Facts) []verdict {
	if f.Plan == nil {
		return noPlan(f)
	}
	if kept := f.Plan.TombstoneRetention; kept < shortTombstones {
		return []verdict{warning(f.alter(f.Changelog, "delete.retention.ms", strconv.FormatInt((24*time.Hour).Milliseconds(), 10)),
			"delete.retention.ms is %s: a worker that was stopped for half of it restores all its state from Kafka", kept).of(f.Changelog)}
	}
	return []verdict{ok("deletions stay in the changelog for %s; a worker that was stopped for half of it restores from Kafka", f.Plan.TombstoneRetention)}
}

func compression(f *Facts) []verdict {
	var list []verdict
	read := 0
	for _, name := range []string{f.Mailbox, f.Changelog, f.DeadLetter} {
		t := f.Topics[name]
		if t == nil || !t.Exists {
			continue
		}
		switch kind := t.Settings["compression.type"]; kind {
		case "producer", "uncompressed":
			read++
		case "":
			list = append(list, unknown("allow DescribeConfigs on it", "not told: %s", orText(t.SettingsError, "the broker does not tell compression.type")).of(name))
		default:
			list = append(list, warning(f.alter(name, "compression.type", "producer"), "compression.type=%s: the broker compresses every commit again", kind).of(name))
		}
	}
	return append(list, ok("%s as written", plural(read, "topic of the application is kept", "topics of the application are kept")))
}

func cleaner(f *Facts) []verdict {
	told := false
	for _, b := range f.answering() {
		switch b.Settings["log.cleaner.enable"] {
		case "true":
			told = true
		case "false":
			return []verdict{warning("set log.cleaner.enable=true in the settings file of every broker", "log.cleaner.enable=false: the changelog and the offsets grow without end, and so does a restore").of(b.name())}
		}
	}
	if !told {
		return []verdict{unknown(seeItself, "no broker tells log.cleaner.enable")}
	}
	return []verdict{ok("on; whether its threads live cannot be seen through the Kafka protocol: watch kafka.log:type=LogCleanerManager,name=uncleanable-partitions-count")}
}

func ingressTopics(f *Facts) []verdict {
	if f.Plan == nil {
		return noPlan(f)
	}
	var list []verdict
	for _, p := range f.Problems {
		if p.Found == missing {
			list = append(list, broken(p.Mend, "the %s does not exist", p.Setting).of(p.Topic))
		}
	}
	return append(list, ok("%s", plural(len(f.Ingresses), "topic exists", "topics exist")))
}

func ingressPartitions(f *Facts) []verdict {
	if f.Plan == nil || f.Plan.Partitions == 0 {
		return []verdict{unknown("", "the partitions of the application are not known yet")}
	}
	var list []verdict
	for _, t := range f.Plan.Topics {
		if t.Role != topics.RoleIngress && t.Role != topics.RoleOwn || !t.Exists {
			continue
		}
		if n := f.Plan.Partitions; t.Partitions%n == 0 {
			list = append(list, ok("%d partitions over %d: aligned, keyed records stay with the worker that reads them", t.Partitions, n).of(t.Name))
		} else {
			list = append(list, ok("%d partitions over %d: not aligned, records cross the mailbox, which is right and slower; a multiple of %d avoids it", t.Partitions, n, n).of(t.Name))
		}
	}
	if len(list) == 0 {
		list = append(list, ok("no ingress topic to look at"))
	}
	return list
}

// ingressesRead calls rule for each ingress topic that exists; what has no settings is unknown.
func (f *Facts) ingressesRead(summary string, rule func(*Topic) (verdict, bool)) []verdict {
	var list []verdict
	for _, name := range f.Ingresses {
		t := f.Topics[name]
		switch {
		case t == nil || !t.Exists && t.Error == "":
			continue
		case t.Error != "" || t.Settings == nil:
			list = append(list, unknown("allow DescribeConfigs on it", "not told: %s", orText(t.Error, t.SettingsError)).of(name))
		default:
			if v, bad := rule(t); bad {
				list = append(list, v.of(name))
			}
		}
	}
	return append(list, ok("%s", summary))
}

func ingressRetention(f *Facts) []verdict {
	return f.ingressesRead("records are kept for longer than the application may stop, "+f.MaxStop.String(), func(t *Topic) (verdict, bool) {
		if !strings.Contains(t.Settings["cleanup.policy"], "delete") {
			return verdict{}, false
		}
		ms, err := strconv.ParseInt(t.Settings["retention.ms"], 10, 64)
		if kept := milliseconds(ms); err == nil && ms >= 0 && kept < f.MaxStop {
			return warning(f.alter(t.Name, "retention.ms", strconv.FormatInt(f.MaxStop.Milliseconds(), 10)),
				"records are deleted after %s, the application may stop for %s: what was not read is lost", kept, f.MaxStop), true
		}
		if size := t.Settings["retention.bytes"]; size != "" && size != "-1" {
			return warning(f.alter(t.Name, "retention.bytes", "-1"), "retention.bytes=%s deletes a backlog by its size, however short the stop", size), true
		}
		return verdict{}, false
	})
}

func ingressCompaction(f *Facts) []verdict {
	return f.ingressesRead("no ingress topic is compacted", func(t *Topic) (verdict, bool) {
		policy := t.Settings["cleanup.policy"]
		return warning(f.alter(t.Name, "cleanup.policy", "delete")+", unless the last record of a key is all that the functions need",
			"cleanup.policy=%s: a record that waits may give way to a later one of its key and is never seen", policy), strings.Contains(policy, "compact")
	})
}

func egressTopics(f *Facts) []verdict {
	if len(f.Egresses) == 0 {
		return []verdict{ok("a module does not name them, its functions do; name them with --topic to have them checked")}
	}
	var list []verdict
	for _, name := range f.Egresses {
		t := f.Topics[name]
		switch {
		case t == nil || t.Error != "":
			why := "not told"
			if t != nil {
				why = t.Error
			}
			list = append(list, unknown("allow Describe on it", "%s", why).of(name))
		case !t.Exists:
			list = append(list, warning("create it: statefun-kafka topics --create --topic "+name, "does not exist: an answer that writes to it is refused and goes by the endpoint's onFailure").of(name))
		case slices.Contains(strings.Split(t.Settings["cleanup.policy"], ","), "compact"):
			list = append(list, ok("compacted: records need a key").of(name))
		}
	}
	return append(list, ok("%s", plural(len(f.Egresses), "topic exists", "topics exist")))
}
