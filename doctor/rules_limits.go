package doctor

import (
	"fmt"
	"strconv"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// extreme is the least or the largest value of a broker setting, and a broker that has it.
type extreme struct {
	value  int64
	broker string
}

// least is the smallest value of a number among the brokers' settings. why says what keeps it from being told.
func (f *Facts) least(setting string) (e extreme, told bool, why string) {
	return f.extreme(setting, func(a, b int64) bool { return a < b })
}

// most is the largest value.
func (f *Facts) most(setting string) (e extreme, told bool, why string) {
	return f.extreme(setting, func(a, b int64) bool { return a > b })
}

func (f *Facts) extreme(setting string, beats func(a, b int64) bool) (e extreme, told bool, why string) {
	why = "no broker tells " + setting
	for _, b := range f.answering() {
		if b.SettingsError != "" {
			why = b.SettingsError + " (needs the right DescribeConfigs on the cluster)"
			continue
		}
		n, err := strconv.ParseInt(b.Settings[setting], 10, 64)
		if err != nil {
			continue
		}
		if !told || beats(n, e.value) {
			e, told = extreme{n, b.name()}, true
		}
	}
	return e, told, why
}

const seeItself = "run this as a user who may read it (Describe and DescribeConfigs), or look at it by other means: some brokers do not tell"

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

func transactionTimeout(f *Facts) []verdict {
	most, told, why := f.least("transaction.max.timeout.ms")
	switch {
	case !told:
		return []verdict{unknown(seeItself, "transaction.max.timeout.ms: %s", why)}
	case milliseconds(most.value) < f.TransactionTimeout:
		return []verdict{broken(fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type brokers --entity-default --add-config transaction.max.timeout.ms=900000, or in the brokers' settings file", f.Addresses),
			"transaction.max.timeout.ms=%d: workers ask for %d and are refused (INVALID_TRANSACTION_TIMEOUT)", most.value, f.TransactionTimeout.Milliseconds()).of(most.broker)}
	}
	return []verdict{ok("workers ask for %s, the brokers give up to %s", f.TransactionTimeout, milliseconds(most.value))}
}

func sessionTimeout(f *Facts) []verdict {
	if f.Protocol == module.GroupConsumer {
		e, told, why := f.most("group.consumer.session.timeout.ms")
		if !told {
			return []verdict{unknown(seeItself, "group.consumer.session.timeout.ms: %s", why)}
		}
		return []verdict{ok("the brokers' own, %s: with the consumer protocol workers do not choose it", milliseconds(e.value))}
	}
	lowest, told, why := f.most("group.min.session.timeout.ms")
	if !told {
		return []verdict{unknown(seeItself, "group.min.session.timeout.ms: %s", why)}
	}
	highest, told, why := f.least("group.max.session.timeout.ms")
	if !told {
		return []verdict{unknown(seeItself, "group.max.session.timeout.ms: %s", why)}
	}
	const advice = "set session.timeout.ms in the properties of an ingress, or change the brokers' bounds"
	switch {
	case f.SessionTimeout < milliseconds(lowest.value):
		return []verdict{broken(advice, "group.min.session.timeout.ms=%d: workers ask for %d and cannot join", lowest.value, f.SessionTimeout.Milliseconds()).of(lowest.broker)}
	case f.SessionTimeout > milliseconds(highest.value):
		return []verdict{broken(advice, "group.max.session.timeout.ms=%d: workers ask for %d and cannot join", highest.value, f.SessionTimeout.Milliseconds()).of(highest.broker)}
	}
	return []verdict{ok("workers ask for %s, the brokers take %s to %s", f.SessionTimeout, milliseconds(lowest.value), milliseconds(highest.value))}
}

func idExpiration(f *Facts) []verdict {
	e, told, why := f.least("transactional.id.expiration.ms")
	switch {
	case !told:
		return []verdict{unknown(seeItself, "transactional.id.expiration.ms: %s", why)}
	case milliseconds(e.value) < f.MaxStop:
		return []verdict{warning(fmt.Sprintf("set transactional.id.expiration.ms=%d or more; nothing is lost either way: a worker takes its id anew, and an idle one pays with one aborted transaction", f.MaxStop.Milliseconds()),
			"the brokers forget a transactional id after %s, the application may stop for %s", milliseconds(e.value), f.MaxStop).of(e.broker)}
	}
	return []verdict{ok("transactional ids are kept for %s", milliseconds(e.value))}
}

func offsetsRetention(f *Facts) []verdict {
	e, told, why := f.least("offsets.retention.minutes")
	kept := time.Duration(e.value) * time.Minute
	switch {
	case !told:
		return []verdict{unknown(seeItself, "offsets.retention.minutes: %s", why)}
	case kept < f.MaxStop:
		return []verdict{warning(fmt.Sprintf("set offsets.retention.minutes=%d or more; the changelog holds the positions too, so nothing is lost, but an offset that somebody reset meanwhile would not be noticed", int64(f.MaxStop.Minutes())),
			"the brokers forget the offsets of a stopped group after %s, the application may stop for %s", kept, f.MaxStop).of(e.broker)}
	}
	return []verdict{ok("offsets of a stopped group are kept for %s", kept)}
}

// envelopeRoom is what a produce request has beside its records.
const envelopeRoom = 64 << 10

// clientFrame is the largest request or answer of the Go client.
const clientFrame = 100 << 20

// recordSize looks at the bounds that lie around the topics' own, which topics.settings compares with each other.
func recordSize(f *Facts) []verdict {
	largest, largestTopic := int64(0), ""
	for _, name := range append([]string{f.Mailbox, f.Changelog, f.DeadLetter}, f.Ingresses...) {
		t := f.Topics[name]
		if t == nil || !t.Exists {
			continue
		}
		if n, err := strconv.ParseInt(t.Settings["max.message.bytes"], 10, 64); err == nil && n > largest {
			largest, largestTopic = n, name
		}
	}
	if largest == 0 {
		return []verdict{unknown("", "no topic tells max.message.bytes yet")}
	}
	frame, told, why := f.least("socket.request.max.bytes")
	switch {
	case largest > clientFrame:
		return []verdict{broken(f.alter(largestTopic, "max.message.bytes", strconv.Itoa(clientFrame)),
			"takes records of %d bytes, a worker reads answers of %d at most", largest, clientFrame).of(largestTopic)}
	case !told:
		return []verdict{unknown(seeItself, "socket.request.max.bytes: %s", why)}
	case frame.value < largest+envelopeRoom:
		return []verdict{broken(fmt.Sprintf("set socket.request.max.bytes=%d or more in the broker's settings file", largest+envelopeRoom),
			"socket.request.max.bytes=%d: a record of the %d bytes that topic %s takes ends the connection", frame.value, largest, largestTopic).of(frame.broker)}
	}
	return []verdict{ok("the largest record is %d bytes (topic %s), a request may have %d", largest, largestTopic, frame.value)}
}
