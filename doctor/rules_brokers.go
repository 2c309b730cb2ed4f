package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// answering are the brokers that could be asked.
func (f *Facts) answering() []Broker {
	return slices.DeleteFunc(slices.Clone(f.Brokers), func(b Broker) bool { return b.Error != "" })
}

func (b Broker) name() string { return fmt.Sprintf("broker %d", b.ID) }

func reachable(f *Facts) []verdict {
	if f.Unreachable != "" {
		place := "of the module"
		if f.Bare {
			place = "in the file of --command-config"
		}
		return []verdict{broken("check --brokers, the network, and the security properties "+place+": a broker that wants TLS or a login ends a connection without a word",
			"no broker answers at %s: %s", f.Addresses, f.Unreachable)}
	}
	var list []verdict
	for _, b := range f.Brokers {
		if b.Error != "" {
			list = append(list, broken("let this machine connect to the address that the broker advertises, or correct advertised.listeners; each worker needs all brokers",
				"does not answer at its advertised address %s: %s", b.Address, b.Error).of(b.name()))
		}
	}
	return append(list, ok("%s", plural(len(f.Brokers), "broker answers at its advertised address", "brokers answer at their advertised addresses")))
}

func oneCluster(f *Facts) []verdict {
	var list []verdict
	clusters := map[string][]string{}
	for _, s := range f.Seeds {
		if s.Error != "" {
			list = append(list, warning("correct it or take it out of the list", "does not answer: %s", s.Error).of(s.Address))
			continue
		}
		clusters[s.ClusterID] = append(clusters[s.ClusterID], s.Address)
	}
	if len(clusters) > 1 {
		var parts []string
		for _, id := range slices.Sorted(maps.Keys(clusters)) {
			parts = append(parts, fmt.Sprintf("%s at %s", id, strings.Join(clusters[id], ",")))
		}
		list = append(list, broken("name brokers of one cluster only: topics of the same name on the other one are not this application's, and a worker refuses its state there",
			"the bootstrap addresses are of %d clusters: %s", len(clusters), strings.Join(parts, "; ")))
	}
	return append(list, ok("cluster %s at %s", f.ClusterID, plural(len(f.Seeds), "bootstrap address", "bootstrap addresses")))
}

func release(f *Facts) []verdict {
	seen := map[string][]string{}
	for _, b := range f.answering() {
		seen[b.Release] = append(seen[b.Release], fmt.Sprint(b.ID))
	}
	metadata, _, _ := f.feature(metadataVersion)
	level := fmt.Sprintf("metadata.version %d", metadata)
	if metadata == 0 {
		level = "no metadata.version: not KRaft, or not told"
	}
	switch {
	case len(seen) == 0:
		return []verdict{unknown("", "no broker told its requests")}
	case len(seen) > 1:
		var parts []string
		for _, r := range slices.Sorted(maps.Keys(seen)) {
			parts = append(parts, fmt.Sprintf("%s on %s", r, strings.Join(seen[r], ",")))
		}
		return []verdict{warning("finish the rolling upgrade; until then the cluster speaks what all brokers speak (3.5 and older next to 3.6 and 3.7.0 fail transactions: KAFKA-16692)",
			"brokers of several releases: %s; %s", strings.Join(parts, "; "), level)}
	}
	guess := slices.Collect(maps.Keys(seen))[0]
	if _, told := parseRelease(guess); !told {
		return []verdict{unknown("", "%s; %s", guess, level)}
	}
	return []verdict{ok("Kafka %s, of a patch release that brokers do not tell; %s", guess, level)}
}

// needed are the requests that a worker cannot do without, with the version that has what it relies on.
var needed = []struct {
	key     kmsg.Key
	version int16
	why     string
}{
	{kmsg.OffsetFetch, 7, "offsets that no transaction holds, KIP-447"},
	{kmsg.TxnOffsetCommit, 3, "the fence by generation, KIP-447"},
	{kmsg.JoinGroup, 5, "names of workers that outlive them, KIP-345"},
	{kmsg.DescribeProducers, 0, "whom a take-over fences, KIP-664"},
	{kmsg.ListTransactions, 0, "whom a take-over fences, KIP-664"},
	{kmsg.DeleteRecords, 0, "the mailbox is relieved of what is done"},
	{kmsg.DescribeConfigs, 0, "topics are checked at the start"},
}

func requests(f *Facts) []verdict {
	var list []verdict
	for _, b := range f.answering() {
		var missing []string
		for _, n := range needed {
			if newest, has := b.Requests[n.key.Int16()]; !has || newest < n.version {
				missing = append(missing, fmt.Sprintf("%s v%d (%s)", n.key.Name(), n.version, n.why))
			}
		}
		if len(missing) > 0 {
			list = append(list, broken("run Kafka 3.6 or later", "does not know %s", strings.Join(missing, ", ")).of(b.name()))
		}
	}
	return append(list, ok("every broker knows the %d requests that workers rely on beside the usual ones", len(needed)))
}

// redpandaMark begins the id of a Redpanda cluster and the names of topic settings that only Redpanda has.
const redpandaMark = "redpanda."

func isRedpanda(f *Facts) bool {
	if strings.HasPrefix(f.ClusterID, redpandaMark) {
		return true
	}
	for _, t := range f.Topics {
		for name := range t.Settings {
			if strings.HasPrefix(name, redpandaMark) {
				return true
			}
		}
	}
	return false
}

func redpanda(f *Facts) []verdict {
	if !isRedpanda(f) {
		return []verdict{ok("no sign of Redpanda")}
	}
	return []verdict{
		warning("try your own load and faults on it before you trust it",
			"this is Redpanda, which our tests do not run: they emulate its known deviations (first transaction protocol, no KIP-848, refusals while a rebalance completes, markers that compaction removes)"),
		warning("run 25.2, or a 25.3 release that has pull request 28560 (November 2025 or later)",
			"Redpanda 25.3 before pull request 28560 answers offsets that an open transaction holds: inputs would be done twice; the Kafka protocol does not tell its release").of("OffsetFetch"),
		warning("run a release that has pull request 31483 (August 2026 or later)",
			"bugs CORE-16998, CORE-17000 and CORE-17001 change a group's committed offsets after a restart; progress rows are the truth here, so a worker refuses to start rather than lose anything").of("classic groups"),
	}
}

// feature is the lowest finalized level of a feature, and the highest, among the brokers that answer.
func (f *Facts) feature(name string) (low, high int16, told bool) {
	for _, b := range f.answering() {
		level := b.Features[name]
		if !told || level < low {
			low = level
		}
		high = max(high, level)
		told = true
	}
	return low, high, told
}

func transactionLevel(f *Facts) []verdict {
	low, high, told := f.feature("transaction.version")
	switch {
	case !told:
		return []verdict{unknown("", "no broker told its features")}
	case low != high:
		return []verdict{warning("finish the change of the feature: kafka-features.sh --bootstrap-server "+f.Addresses+" describe",
			"the brokers disagree: transaction.version %d on some, %d on others; workers use what all have", low, high)}
	case low >= 2:
		return []verdict{ok("transaction.version %d: each transaction has an epoch of its own (KIP-890); workers use it", low)}
	}
	used := "the first protocol"
	if newestRelease(f).before(minor{4, 0}) || isRedpanda(f) {
		return []verdict{ok("transaction.version %d: workers use %s, which the brokers of this release have", low, used)}
	}
	return []verdict{warning("kafka-features.sh --bootstrap-server "+f.Addresses+" upgrade --feature transaction.version=2",
		"transaction.version %d on brokers that know 2: workers use %s; a late record of an old transaction is kept out less surely", low, used)}
}

// newestRelease is 0.0 when no broker tells its release.
func newestRelease(f *Facts) (newest minor) {
	for _, b := range f.answering() {
		if m, ok := parseRelease(b.Release); ok && newest.before(m) {
			newest = m
		}
	}
	return newest
}

func groupProtocols(f *Facts) []verdict {
	classic, consumer := true, true
	for _, b := range f.answering() {
		_, joins := b.Requests[kmsg.JoinGroup.Int16()]
		_, beats := b.Requests[kmsg.ConsumerGroupHeartbeat.Int16()]
		allowed, set := b.Settings["group.coordinator.rebalance.protocols"]
		classic = classic && joins && (!set || strings.Contains(allowed, "classic"))
		consumer = consumer && beats && (!set || strings.Contains(allowed, "consumer"))
	}
	if level, _, told := f.feature("group.version"); told && level < 1 {
		consumer = false
	}
	const setting = "to group.coordinator.rebalance.protocols of every broker"
	switch {
	case f.Protocol == module.GroupConsumer && !consumer:
		return []verdict{broken("write groupProtocol: classic in the application document of the module; or run Kafka 4.0 or later, with consumer added "+setting,
			"the brokers do not take groups of the consumer protocol (KIP-848), which the module asks for")}
	case f.Protocol == module.GroupConsumer:
		if newestRelease(f).before(minor{4, 3}) {
			return []verdict{warning("write groupProtocol: classic in the application document of the module", "consumer, which the module asks for; the Go client asks for Kafka 4.3, before which a member may be refused with STALE_MEMBER_EPOCH")}
		}
		return []verdict{ok("consumer (KIP-848), which the module asks for")}
	case !classic:
		return []verdict{broken("add classic "+setting, "the brokers do not take groups of the classic protocol, which workers use")}
	case consumer:
		return []verdict{ok("classic, which workers use, and consumer (KIP-848)")}
	}
	return []verdict{ok("classic, which workers use; no consumer protocol (KIP-848)")}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
