package doctor

import (
	"fmt"
	"strconv"
)

// wantedCopies and wantedInSync keep what was acknowledged when one broker is lost, and keep working meanwhile.
const (
	wantedCopies = 3
	wantedInSync = 2
)

// copies is how a topic is replicated, or would be when it is created.
type copies struct {
	topic               string
	exists              bool
	factor, minInSync   int64
	unknown             string // why the factor is not known
	unknownMin          string // why min.insync.replicas is not known
	unclean             string // unclean.leader.election.enable
	inSync, leaderless  int
	factorFrom, minFrom string // the settings to change
}

// kept are the topics whose loss is a loss of the application's.
func (f *Facts) kept() []copies {
	return []copies{
		f.copiesOf(f.Mailbox, "default.replication.factor", minInsync),
		f.copiesOf(f.Changelog, "default.replication.factor", minInsync),
		f.copiesOf(f.DeadLetter, "default.replication.factor", minInsync),
		f.copiesOf(offsetsTopic, "offsets.topic.replication.factor", minInsync),
		f.copiesOf(transactionsTopic, "transaction.state.log.replication.factor", "transaction.state.log.min.isr"),
	}
}

const minInsync = "min.insync.replicas"

// copiesOf reads the topic, and the brokers' settings where there is no topic yet.
func (f *Facts) copiesOf(name, factorSetting, minSetting string) copies {
	c := copies{topic: name, factorFrom: factorSetting, minFrom: minSetting}
	t := f.Topics[name]
	switch {
	case t == nil:
		c.unknown = "the brokers did not tell"
	case t.Error != "":
		c.unknown = t.Error
	}
	if c.unknown != "" {
		c.unknownMin = c.unknown
		return c
	}
	if t.Exists {
		c.exists, c.factor, c.inSync, c.leaderless = true, int64(t.Replication), t.InSync, t.Leaderless
		c.minFrom, c.unclean = minInsync, t.Settings["unclean.leader.election.enable"]
		n, err := strconv.ParseInt(t.Settings[minInsync], 10, 64)
		if c.minInSync = n; err != nil {
			c.unknownMin = orText(t.SettingsError, "the broker does not tell the setting")
		}
		return c
	}
	least, told, why := f.least(factorSetting)
	if c.factor = least.value; !told {
		c.unknown = why
	}
	if least, told, why = f.least(minSetting); !told {
		c.unknownMin = why
	}
	c.minInSync = least.value
	return c
}

func (c copies) state() string {
	if c.exists {
		return "has"
	}
	return "would be created with"
}

func replicationFactor(f *Facts) []verdict {
	var list []verdict
	brokers := int64(len(f.Brokers))
	for _, c := range f.kept() {
		advice := fmt.Sprintf("give it %d copies with kafka-reassign-partitions.sh --bootstrap-server %s", wantedCopies, f.Addresses)
		if !c.exists {
			advice = fmt.Sprintf("set %s=%d on the brokers before it is created", c.factorFrom, min(wantedCopies, max(brokers, 1)))
		}
		if !c.exists && c.factorFrom == "default.replication.factor" {
			advice = "create it with statefun-kafka topics --create --replication " + strconv.FormatInt(min(wantedCopies, max(brokers, 1)), 10)
		}
		switch {
		case c.unknown != "":
			list = append(list, unknown(seeItself, "not told: %s", c.unknown).of(c.topic))
		case !c.exists && c.factor > brokers:
			list = append(list, broken(advice, "would be created with %d copies on a cluster of %d: it cannot be created, and nothing commits", c.factor, brokers).of(c.topic))
		case brokers == 1:
			list = append(list, warning("development only: with the disk of the one broker everything is lost", "%s one copy on the only broker", c.state()).of(c.topic))
		case c.factor < wantedCopies:
			list = append(list, warning(advice, "%s %s on %d brokers, %d or more are meant", c.state(), plural(int(c.factor), "copy", "copies"), brokers, wantedCopies).of(c.topic))
		default:
			list = append(list, ok("%s %d copies", c.state(), c.factor).of(c.topic))
		}
	}
	return list
}

func minInSync(f *Facts) []verdict {
	var list []verdict
	for _, c := range f.kept() {
		advice := fmt.Sprintf("set %s=%d on the brokers", c.minFrom, wantedInSync)
		if c.exists {
			advice = f.alter(c.topic, minInsync, strconv.Itoa(wantedInSync))
		}
		switch {
		case c.unknown != "" || c.unknownMin != "":
			list = append(list, unknown(seeItself, "not told: %s", orText(c.unknownMin, c.unknown)).of(c.topic))
		case c.minInSync > c.factor:
			list = append(list, broken(f.lower(c), "%s %s=%d with %s: no transaction can be written", c.state(), minInsync, c.minInSync, plural(int(c.factor), "copy", "copies")).of(c.topic))
		case c.factor > 1 && c.minInSync == c.factor:
			list = append(list, broken(f.lower(c), "%s %s=%d with %d copies: nothing commits while one broker restarts", c.state(), minInsync, c.minInSync, c.factor).of(c.topic))
		case c.factor == 1:
			list = append(list, ok("%s %s=%d with one copy", c.state(), minInsync, c.minInSync).of(c.topic))
		case c.minInSync < wantedInSync:
			list = append(list, warning(advice, "%s %s=%d: a commit may be acknowledged by one broker alone and be lost with it", c.state(), minInsync, c.minInSync).of(c.topic))
		default:
			list = append(list, ok("%s %s=%d with %d copies", c.state(), minInsync, c.minInSync, c.factor).of(c.topic))
		}
	}
	return list
}

// lower is the way out of a minimum that leaves no room.
func (f *Facts) lower(c copies) string {
	want := strconv.FormatInt(max(c.factor-1, 1), 10)
	if c.exists {
		return f.alter(c.topic, minInsync, want)
	}
	return fmt.Sprintf("set %s=%s on the brokers before it is created", c.minFrom, want)
}

func (f *Facts) alter(topic, setting, value string) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s", f.Addresses, topic, setting, value)
}

func uncleanElection(f *Facts) []verdict {
	var list []verdict
	read := 0
	for _, c := range f.kept() {
		switch {
		case c.unknown != "" || c.exists && c.unclean == "":
			list = append(list, unknown(seeItself, "not told").of(c.topic))
		case c.unclean == "true" && c.factor > 1:
			list = append(list, broken(f.alter(c.topic, "unclean.leader.election.enable", "false"),
				"unclean.leader.election.enable=true: a replica that lags may become leader, and committed transactions disappear").of(c.topic))
		default:
			read++
		}
	}
	return append(list, ok("off, or without effect, for %s", plural(read, "topic", "topics")))
}

func replicasNow(f *Facts) []verdict {
	var list []verdict
	names := append([]string{f.Mailbox, f.Changelog, f.DeadLetter, offsetsTopic, transactionsTopic}, f.Ingresses...)
	seen := map[string]bool{}
	for _, name := range append(names, f.Egresses...) {
		t := f.Topics[name]
		if t == nil || !t.Exists || seen[name] {
			continue
		}
		seen[name] = true
		least, err := strconv.Atoi(t.Settings[minInsync])
		switch {
		case t.Leaderless > 0:
			list = append(list, broken("bring the brokers of its replicas back", "%s without a leader", plural(t.Leaderless, "partition is", "partitions are")).of(name))
		case err == nil && t.InSync < least:
			list = append(list, broken("bring the brokers of its replicas back", "a partition has %d replicas in sync, %d must be: writes to it are refused", t.InSync, least).of(name))
		case t.InSync < t.Replication:
			list = append(list, warning("bring the brokers of its replicas back", "a partition has %d of %d replicas in sync", t.InSync, t.Replication).of(name))
		}
	}
	return append(list, ok("every partition of %s has a leader and all replicas in sync", plural(len(seen), "topic", "topics")))
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
