package doctor

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

type judgement struct {
	id, when string
	change   func(*Facts)
	want     Status
	text     string
}

func open(topic string, age time.Duration, id string, timeout time.Duration) func(*Facts) {
	return func(f *Facts) {
		f.Transactions.Open = append(f.Transactions.Open, OpenTransaction{Topic: topic, Partition: 1, StartOffset: 7, ProducerID: 5, TransactionalID: id, Age: age, Timeout: timeout})
	}
}

func ordinaryUser(f *Facts) {
	f.ClusterOperations = Operations{Known: true, Bits: 1 << uint(kmsg.ACLOperationDescribe)}
}

func members(list ...Member) func(*Facts) {
	return func(f *Facts) { f.Group.Members = list }
}

func consumerProtocol(f *Facts) { f.Protocol = module.GroupConsumer }

var judgements = []judgement{
	{"brokers.reachable", "one is away", func(f *Facts) { f.Brokers[1].Error = "refused" }, Broken, "broker 1: does not answer"},
	{"brokers.reachable", "all are away", func(f *Facts) { f.Unreachable = "refused" }, Broken, "no broker answers"},
	{"brokers.one-cluster", "an address is dead", func(f *Facts) { f.Seeds = append(f.Seeds, Seed{Address: "old:1", Error: "refused"}) }, Warning, "old:1"},
	{"brokers.one-cluster", "the addresses are of two", func(f *Facts) { f.Seeds = append(f.Seeds, Seed{Address: "b:1", ClusterID: "two"}) }, Broken, "one at kafka:9092; two at b:1"},
	{"brokers.release", "nobody tells", silentBrokers, Unknown, "no broker"},
	{"brokers.release", "the guess is none", released("unknown custom version"), Unknown, "custom"},
	{"brokers.release", "they are mixed", func(f *Facts) { f.Brokers[0].Release = "v4.1" }, Warning, "v4.1 on 0; v4.2 on 1,2"},
	{"brokers.requests", "one lacks the list of transactions", func(f *Facts) { delete(f.Brokers[2].Requests, kmsg.ListTransactions.Int16()) }, Broken, "broker 2: does not know ListTransactions"},
	{"brokers.requests", "offsets are not held against transactions", func(f *Facts) { f.Brokers[2].Requests[kmsg.OffsetFetch.Int16()] = 6 }, Broken, "OffsetFetch v7"},
	{"brokers.known-bugs", "the release is not told", released("unknown custom version"), Unknown, "cannot be told"},
	{"brokers.known-bugs", "it is Redpanda", func(f *Facts) { f.ClusterID = "redpanda.1" }, Unknown, "brokers.redpanda"},
	{"brokers.known-bugs", "it is 4.0", released("v4.0"), Warning, "KAFKA-19367"},
	{"brokers.known-bugs", "it is 3.9", released("v3.9"), Warning, "KAFKA-17507"},
	{"brokers.known-bugs", "one broker is 3.6", func(f *Facts) { f.Brokers[0].Release = "v3.6" }, Warning, "KAFKA-15653"},
	{"brokers.known-bugs", "it is 2.8", released("v2.8"), Broken, "KIP-664"},
	{"brokers.known-bugs", "it is 2.4", released("v2.4"), Broken, "KIP-447"},
	{"brokers.redpanda", "the cluster id says so", func(f *Facts) { f.ClusterID = "redpanda.1" }, Warning, "tests do not run"},
	{"brokers.redpanda", "a topic has its settings", topic("orders", "redpanda.remote.read", "false"), Warning, "28560"},

	{"features.transactions", "nobody tells", silentBrokers, Unknown, "no broker"},
	{"features.transactions", "4.2 stays on the first protocol", func(f *Facts) {
		for i := range f.Brokers {
			f.Brokers[i].Features["transaction.version"] = 1
		}
	}, Warning, "--feature transaction.version=2"},
	{"features.transactions", "3.9 has no other", both(released("v3.9"), func(f *Facts) {
		for i := range f.Brokers {
			delete(f.Brokers[i].Features, "transaction.version")
		}
	}), OK, "first protocol"},
	{"features.transactions", "the brokers disagree", func(f *Facts) { f.Brokers[0].Features["transaction.version"] = 1 }, Warning, "disagree"},
	{"features.group-protocols", "classic is switched off", everywhere("group.coordinator.rebalance.protocols", "consumer"), Broken, "classic"},
	{"features.group-protocols", "the module asks for consumer, and it is off", both(consumerProtocol, everywhere("group.coordinator.rebalance.protocols", "classic")), Broken, "KIP-848"},
	{"features.group-protocols", "the module asks for consumer on 4.2", consumerProtocol, Warning, "STALE_MEMBER_EPOCH"},
	{"features.group-protocols", "the module asks for consumer on 4.3", both(consumerProtocol, released("v4.3")), OK, "the module asks for"},

	{"replication.factor", "a topic may not be described", func(f *Facts) { f.Topics[offsetsTopic] = &Topic{Name: offsetsTopic, Error: "denied"} }, Unknown, "denied"},
	{"replication.factor", "the brokers do not tell the default", both(without("app-mailbox"), everywhere("default.replication.factor", "")), Unknown, "default.replication.factor"},
	{"replication.factor", "a topic has two copies", func(f *Facts) { f.Topics["app-changelog"].Replication = 2 }, Warning, "app-changelog: has 2 copies"},
	{"replication.factor", "there is one broker", func(f *Facts) { f.Brokers = f.Brokers[:1] }, Warning, "development only"},
	{"replication.factor", "the log of transactions wants more brokers than there are", both(without(transactionsTopic), everywhere("transaction.state.log.replication.factor", "4")), Broken, "cannot be created"},
	{"replication.min-insync", "the settings are not told", untoldTopic("app-mailbox"), Unknown, "TOPIC_AUTHORIZATION_FAILED"},
	{"replication.min-insync", "one broker may acknowledge alone", topic("app-changelog", "min.insync.replicas", "1"), Warning, "--entity-name app-changelog --add-config min.insync.replicas=2"},
	{"replication.min-insync", "it leaves no room for a restart", topic("app-changelog", "min.insync.replicas", "3"), Broken, "while one broker restarts"},
	{"replication.min-insync", "it is more than the copies", topic(transactionsTopic, "min.insync.replicas", "4"), Broken, "no transaction can be written"},
	{"replication.min-insync", "a topic to be created leaves no room", both(without("app-mailbox"), everywhere("min.insync.replicas", "3")), Broken, "before it is created"},
	{"replication.unclean-election", "it is not told", untoldTopic(offsetsTopic), Unknown, offsetsTopic},
	{"replication.unclean-election", "it is on", topic("app-mailbox", "unclean.leader.election.enable", "true"), Broken, "committed transactions disappear"},
	{"replication.now", "a replica lags", func(f *Facts) { f.Topics["orders"].InSync = 2 }, Warning, "2 of 3"},
	{"replication.now", "a partition is led by nobody", func(f *Facts) { f.Topics["orders"].Leaderless = 1 }, Broken, "without a leader"},
	{"replication.now", "too few are in sync", func(f *Facts) { f.Topics["app-changelog"].InSync = 1 }, Broken, "writes to it are refused"},

	{"limits.transaction-timeout", "it is not told", everywhere("transaction.max.timeout.ms", ""), Unknown, "no broker tells"},
	{"limits.transaction-timeout", "one broker gives less", func(f *Facts) { f.Brokers[1].Settings["transaction.max.timeout.ms"] = "14999" }, Broken, "broker 1: transaction.max.timeout.ms=14999"},
	{"limits.transaction-timeout", "it is just enough", everywhere("transaction.max.timeout.ms", "15000"), OK, ""},
	{"limits.session-timeout", "it may not be read", func(f *Facts) {
		for i := range f.Brokers {
			f.Brokers[i].Settings, f.Brokers[i].SettingsError = nil, "CLUSTER_AUTHORIZATION_FAILED"
		}
	}, Unknown, "CLUSTER_AUTHORIZATION_FAILED"},
	{"limits.session-timeout", "the least is more", everywhere("group.min.session.timeout.ms", "6001"), Broken, "workers ask for 6000"},
	{"limits.session-timeout", "the most is less", everywhere("group.max.session.timeout.ms", "5999"), Broken, "group.max.session.timeout.ms"},
	{"limits.session-timeout", "the broker chooses it", both(consumerProtocol, everywhere("group.min.session.timeout.ms", "60000")), OK, "the brokers' own"},
	{"limits.transactional-id-expiration", "it is not told", everywhere("transactional.id.expiration.ms", ""), Unknown, ""},
	{"limits.transactional-id-expiration", "ids go before the application is back", everywhere("transactional.id.expiration.ms", "3600000"), Warning, "forget a transactional id after 1h"},
	{"limits.offsets-retention", "it is not told", everywhere("offsets.retention.minutes", ""), Unknown, ""},
	{"limits.offsets-retention", "offsets go before the application is back", everywhere("offsets.retention.minutes", "60"), Warning, "offsets.retention.minutes=4320"},
	{"limits.record-size", "no topic exists", func(f *Facts) { clear(f.Topics) }, Unknown, "no topic"},
	{"limits.record-size", "the frame is not told", everywhere("socket.request.max.bytes", ""), Unknown, "socket.request.max.bytes"},
	{"limits.record-size", "the frame is smaller than a record", everywhere("socket.request.max.bytes", "1000000"), Broken, "ends the connection"},
	{"limits.record-size", "a record is larger than the client takes", topic("orders", "max.message.bytes", "200000000"), Broken, "orders: takes records of 200000000"},

	{"topics.settings", "they may not be read", noPlanAtAll, Unknown, "TOPIC_AUTHORIZATION_FAILED"},
	{"topics.settings", "the plan refuses one", func(f *Facts) {
		f.Problems = []topics.Problem{{Topic: "app-changelog", Setting: "cleanup.policy", Found: "delete", Wanted: "compact", Mend: "kafka-configs.sh …"}}
	}, Broken, "app-changelog: cleanup.policy is delete, want compact (kafka-configs.sh …)"},
	{"topics.pair", "the changelog is gone", without("app-changelog"), Broken, "app-changelog: app-mailbox exists and app-changelog does not"},
	{"topics.pair", "the mailbox is gone", without("app-mailbox"), Broken, "app-mailbox: app-changelog exists"},
	{"topics.pair", "both are to be created", both(without("app-mailbox"), without("app-changelog")), OK, "the first worker creates them"},
	{"topics.tombstones", "there is no plan", noPlanAtAll, Unknown, ""},
	{"topics.tombstones", "deletions go soon", func(f *Facts) { f.Plan.TombstoneRetention = time.Hour }, Warning, "delete.retention.ms=86400000"},
	{"topics.compression", "it is not told", untoldTopic("app-mailbox"), Unknown, "app-mailbox"},
	{"topics.compression", "the broker compresses", topic("app-changelog", "compression.type", "gzip"), Warning, "compression.type=producer"},
	{"topics.cleaner", "it is not told", everywhere("log.cleaner.enable", ""), Unknown, ""},
	{"topics.cleaner", "it is off", everywhere("log.cleaner.enable", "false"), Warning, "grow without end"},

	{"ingress.topics", "there is no plan", noPlanAtAll, Unknown, ""},
	{"ingress.topics", "one does not exist", func(f *Facts) {
		f.Problems = []topics.Problem{{Topic: "orders", Setting: "ingress topic of a/b", Found: missing, Mend: "create it"}}
	}, Broken, "orders: the ingress topic of a/b does not exist (create it)"},
	{"ingress.partitions", "there is no plan", noPlanAtAll, Unknown, ""},
	{"ingress.partitions", "it is aligned", func(*Facts) {}, OK, "8 partitions over 4: aligned"},
	{"ingress.partitions", "it crosses", func(f *Facts) { f.Plan.Partitions = 3 }, OK, "not aligned"},
	{"ingress.retention", "it may not be read", untoldTopic("orders"), Unknown, "orders"},
	{"ingress.retention", "records go before the application is back", topic("orders", "retention.ms", "3600000"), Warning, "retention.ms=259200000"},
	{"ingress.retention", "size bounds the backlog", topic("orders", "retention.bytes", "1000"), Warning, "by its size"},
	{"ingress.retention", "records are kept for ever", topic("orders", "retention.ms", "-1"), OK, ""},
	{"ingress.compaction", "it may not be read", untoldTopic("orders"), Unknown, "orders"},
	{"ingress.compaction", "it is on", topic("orders", "cleanup.policy", "compact,delete"), Warning, "never seen"},
	{"egress.topics", "one may not be described", func(f *Facts) { f.Topics["invoices"] = &Topic{Name: "invoices", Error: "denied"} }, Unknown, "denied"},
	{"egress.topics", "one does not exist", without("invoices"), Warning, "onFailure"},
	{"module.known", "there is none", func(f *Facts) { f.Bare = true }, Unknown, "those that group app has offsets of (orders)"},
	{"module.known", "there is none, and no offset", func(f *Facts) { f.Bare, f.Ingresses = true, nil }, Unknown, "group app has no offsets"},
	{"module.known", "there is none, and the group cannot be read", func(f *Facts) { f.Bare, f.IngressesError = true, "GROUP_AUTHORIZATION_FAILED" }, Unknown, "GROUP_AUTHORIZATION_FAILED; not checked are endpoints"},
	{"clusters.elsewhere", "there is no module", func(f *Facts) { f.Bare = true }, Unknown, "not known"},
	{"clusters.elsewhere", "nothing is elsewhere", func(*Facts) {}, OK, ""},
	{"clusters.elsewhere", "a cluster does not answer", elsewhere(Elsewhere{Name: "ingress a/in", Brokers: []string{"far:1"}, Error: "dial"}), Warning, "start the cluster"},
	{"clusters.elsewhere", "a topic is missing", elsewhere(Elsewhere{Name: "ingress a/in", Brokers: []string{"far:1"}, Missing: []string{"orders"}}), Warning, "create"},
	{"clusters.elsewhere", "it is the same cluster", func(f *Facts) {
		f.Elsewhere = []Elsewhere{{Name: "egress a/out", Brokers: []string{"far:1"}, ClusterID: f.ClusterID}}
	}, Warning, "same address"},
	{"egress.topics", "none is named", func(f *Facts) { f.Egresses = nil }, OK, "--topic"},

	{"access.topics", "the broker does not tell", func(f *Facts) { f.Topics["orders"].Operations = Operations{} }, Unknown, "orders"},
	{"access.topics", "one may not be described", func(f *Facts) { f.Topics["orders"] = &Topic{Name: "orders", Error: "TOPIC_AUTHORIZATION_FAILED"} }, Broken, "--operation Describe --topic orders"},
	{"access.topics", "records of the mailbox may not be deleted", func(f *Facts) { f.Topics["app-mailbox"].Operations = forget(kmsg.ACLOperationDelete) }, Broken, "app-mailbox: lacks Delete"},
	{"access.topics", "an egress may not be written", func(f *Facts) { f.Topics["invoices"].Operations = forget(kmsg.ACLOperationWrite) }, Broken, "invoices: lacks Write"},
	{"access.topics", "an ingress may not be written, which nobody needs", func(f *Facts) { f.Topics["orders"].Operations = forget(kmsg.ACLOperationWrite) }, OK, ""},
	{"access.topics", "a missing topic may not be created", both(without("app-mailbox"), ordinaryUser), Unknown, "Create"},
	{"access.group", "the broker does not tell", both(ordinaryUser, func(f *Facts) { f.Group.Operations = Operations{} }), Unknown, "app"},
	{"access.group", "it may not be described", func(f *Facts) { f.Group.Error = "GROUP_AUTHORIZATION_FAILED" }, Broken, "--group app"},
	{"access.group", "it may not be joined", both(ordinaryUser, func(f *Facts) { f.Group.Operations = forget(kmsg.ACLOperationRead) }), Broken, "lacks Read"},
	{"access.transactional-ids", "only the right to look is told", ordinaryUser, Unknown, "only a write would tell"},
	{"access.transactional-ids", "nobody used any", both(ordinaryUser, func(f *Facts) { f.Transactions.DescribeRight = "" }), Unknown, "would create"},
	{"access.transactional-ids", "they may not be described", func(f *Facts) { f.Transactions.DescribeRight = "no" }, Broken, "--resource-pattern-type prefixed"},
	{"access.takeover", "transactions cannot be listed", func(f *Facts) { f.Transactions.ListError = "timed out" }, Unknown, "timed out"},
	{"access.takeover", "producers cannot be described", func(f *Facts) { f.Topics["app-mailbox"].ProducersError = "timed out" }, Unknown, "app-mailbox"},
	{"access.takeover", "producers may not be described", func(f *Facts) { f.Topics["app-mailbox"].ProducersError = "TOPIC_AUTHORIZATION_FAILED" }, Broken, "--operation Read"},
	{"access.takeover", "transactions may not be listed", func(f *Facts) { f.Transactions.ListError = "CLUSTER_AUTHORIZATION_FAILED" }, Broken, "--operation Describe"},

	{"clock.difference", "nobody tells", func(f *Facts) { f.Clock = Clock{Error: "broker too old"} }, Unknown, "broker too old"},
	{"clock.difference", "it is three seconds", func(f *Facts) { f.Clock.Ahead = -3 * time.Second }, Warning, "3s behind the active controller"},
	{"clock.difference", "it is within the margin", func(f *Facts) { f.Clock.Ahead, f.Clock.Margin = 3*time.Second, 2*time.Second }, OK, ""},
	{"clock.difference", "the brokers refuse such records", func(f *Facts) { f.Clock.Ahead = 61 * time.Minute }, Broken, "refuses records"},
	{"clock.difference", "it is half of the life of a tombstone", func(f *Facts) { f.Clock.Ahead = -13 * time.Hour }, Broken, "deletions stay"},

	{"transactions.hanging", "producers are not told", func(f *Facts) { f.Topics["orders"].ProducersError = "denied" }, Unknown, "orders"},
	{"transactions.hanging", "a worker's is within its time", open("app-mailbox", 24*time.Second, "app-w-0", 15*time.Second), OK, "1 transaction is open as usual"},
	{"transactions.hanging", "a worker's is over its time", open("app-mailbox", 26*time.Second, "app-w-0", 15*time.Second), Broken, "app-mailbox/1: open for 26s from offset 7, nothing after it is read: producer id 5 epoch 0, transactional id app-w-0"},
	{"transactions.hanging", "one on the mailbox has a long time-out", open("app-mailbox", time.Minute, "other", 10*time.Minute), Broken, "Kafka aborts it within 9m10s, or at once: kafka-transactions.sh --bootstrap-server kafka:9092 abort --topic app-mailbox --partition 1 --start-offset 7"},
	{"transactions.hanging", "one upstream is long and within its time", open("orders", 9*time.Minute, "upstream", 10*time.Minute), OK, "as usual"},
	{"transactions.hanging", "one upstream is over its time", open("orders", 11*time.Minute, "upstream", 10*time.Minute), Broken, "abort --topic orders"},
	{"transactions.hanging", "no coordinator knows one upstream that is old", open("orders", 16*time.Minute, "", 0), Broken, "no coordinator"},
	{"transactions.hanging", "no coordinator tells one upstream that is young", open("orders", 5*time.Minute, "", 0), OK, "as usual"},
	{"transactions.hanging", "no coordinator knows one on the changelog", open("app-changelog", time.Minute, "", 0), Broken, "no coordinator"},

	{"group.members", "it may not be read", func(f *Facts) { f.Group = Group{Error: "denied"} }, Unknown, "denied"},
	{"group.members", "one has no name", members(Member{ID: "x", Topics: []string{"app-mailbox"}}), Warning, "has no name"},
	{"group.members", "one is of another release", members(Member{Name: "w", Strange: "version 9", Topics: []string{"app-mailbox"}}), Warning, "version 9"},
	{"group.members", "two have one name", members(Member{ID: "1", Name: "w", Host: "/a"}, Member{ID: "2", Name: "w", Host: "/b"}), Broken, "has the name of the one at /a"},
	{"group.members", "one reads other topics", members(Member{ID: "x", Name: "x", Topics: []string{"orders"}}), Broken, "subscribes to orders"},
	{"group.members", "the name is taken by another kind", func(f *Facts) { f.Group.Kind = "share" }, Broken, "kind share"},
	{"group.members", "it runs under the other protocol", func(f *Facts) { f.Group.Kind = module.GroupConsumer }, Warning, "of kind consumer, the module asks for classic"},
	{"group.members", "nobody runs", members(), OK, "no worker runs"},
	{"endpoints.reachable", "there is no module", func(f *Facts) { f.Bare, f.Endpoints = true, []Endpoint{} }, Unknown, "not known"},
	{"endpoints.reachable", "they were not tried", func(f *Facts) { f.Endpoints = nil }, Unknown, "not tried"},
	{"endpoints.reachable", "one is away", func(f *Facts) { f.Endpoints[0].Error = "refused" }, Warning, "a/*: http://a: refused"},
	{"endpoints.reachable", "one speaks TLS", func(f *Facts) { f.Endpoints[0].TLS = "TLS 1.3" }, OK, "connected, TLS 1.3"},
}

func elsewhere(e Elsewhere) func(*Facts) { return func(f *Facts) { f.Elsewhere = []Elsewhere{e} } }
