package doctor

import (
	"fmt"
	"regexp"
	"strconv"
)

// A bug is a fault of Kafka, or something that it lacked, that matters to the promises. Brokers tell their minor release
// and not the patch, so a bug that a patch release mended is a warning to look.
type bug struct {
	// from and until are the first and the last minor release that may have it.
	from, until minor
	status      Status
	number      string // JIRA or KIP
	harm        string
	remedy      string
}

var bugs = []bug{
	{minor{0, 0}, minor{2, 4}, Broken, "KIP-447",
		"the brokers do not hold the offsets of a transaction against the group's generation: a worker that was away can commit over its successor", "run Kafka 3.6 or later"},
	{minor{2, 5}, minor{2, 8}, Broken, "KIP-664",
		"the brokers do not list transactions: a take-over cannot find whom to fence", "run Kafka 3.6 or later"},
	{minor{0, 0}, minor{3, 5}, Warning, "KIP-890, KAFKA-12671",
		"a record that arrives after the end of its transaction opens one that nobody ends, and readers stop there", "run Kafka 3.6.1 or later; until then look at transactions.hanging"},
	{minor{3, 6}, minor{3, 6}, Warning, "KAFKA-15653",
		"3.6.0 fails writes of a transaction at random while it verifies partitions; 3.6.1 does not", "make sure that every broker runs 3.6.1 or later"},
	{minor{2, 0}, minor{3, 9}, Warning, "KAFKA-17507",
		"up to 3.9.0 a transaction's end may be told before its offsets are visible, and offsets may stay pending; 3.9.1 and 4.0 wait", "make sure that every broker runs 3.9.1, or 4.0 or later"},
	{minor{4, 0}, minor{4, 0}, Warning, "KAFKA-19367",
		"4.0.0 raises a producer's epoch twice when a take-over aborts its transaction, and fails at the end of the epochs; 4.0.1 does not", "make sure that every broker runs 4.0.1 or later"},
	{minor{4, 0}, minor{4, 1}, Warning, "KAFKA-19862",
		"a coordinator may fail to load its groups while their topic is compacted (met with groups of the consumer protocol, and it takes their neighbours along); mended in December 2025", "run the newest patch release of this line, or a later line"},
}

// minor is a release without its patch.
type minor struct{ major, minor int }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.major, m.minor) }

func (m minor) before(other minor) bool {
	return m.major < other.major || m.major == other.major && m.minor < other.minor
}

var releaseForm = regexp.MustCompile(`v(\d+)\.(\d+)`)

// parseRelease reads the first release that a guess names; the guess of a broker between two is the older one.
func parseRelease(guess string) (m minor, ok bool) {
	found := releaseForm.FindStringSubmatch(guess)
	if found == nil {
		return m, false
	}
	m.major, _ = strconv.Atoi(found[1])
	m.minor, _ = strconv.Atoi(found[2])
	return m, true
}

// knownBugs names each bug once, with the releases that may have it.
func knownBugs(f *Facts) []verdict {
	if isRedpanda(f) {
		return []verdict{unknown("", "the table is Kafka's; see brokers.redpanda")}
	}
	var oldest, newest minor
	told := false
	for _, b := range f.answering() {
		m, ok := parseRelease(b.Release)
		if !ok {
			continue
		}
		if !told || m.before(oldest) {
			oldest = m
		}
		if !told || newest.before(m) {
			newest = m
		}
		told = true
	}
	if !told {
		return []verdict{unknown("compare the release of the brokers with docs/doctor.md", "the brokers' release cannot be told from their requests")}
	}
	var found []verdict
	for _, b := range bugs {
		if !newest.before(b.from) && !b.until.before(oldest) {
			found = append(found, verdict{b.number, b.status, b.harm, b.remedy})
		}
	}
	return append(found, ok("none of the %d bugs in the table for Kafka %s", len(bugs), oldest))
}
