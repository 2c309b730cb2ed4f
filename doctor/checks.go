package doctor

// check is one precondition.
type check struct {
	id, area, promise string
	// can are the statuses that the rule may come to; a test has a case for each.
	can  []Status
	rule func(*Facts) []verdict
	// withoutCluster is set for what can be said when no broker answers.
	withoutCluster bool
}

// The promises, as docs and design number them.
const (
	onceOnly = "P-1 exactly-once effects"
	order    = "P-2 order"
	hostage  = "P-3 no hostage"
	bounded  = "P-4 bounded memory"
	silent   = "P-5 nothing silent"
	latency  = "P-6 low latency"
)

var (
	all         = []Status{OK, Unknown, Warning, Broken}
	noUnknown   = []Status{OK, Warning, Broken}
	noBroken    = []Status{OK, Unknown, Warning}
	noWarning   = []Status{OK, Unknown, Broken}
	plain       = []Status{OK, Broken}
	adviceOnly  = []Status{OK, Warning}
	information = []Status{OK, Unknown}
)

// checks are all preconditions, in the order in which people read of them.
var checks = []check{
	{id: "module.known", area: "module", promise: silent, can: information, rule: moduleKnown},
	{id: "brokers.reachable", area: "brokers", promise: onceOnly, can: plain, rule: reachable, withoutCluster: true},
	{id: "brokers.one-cluster", area: "brokers", promise: onceOnly, can: noUnknown, rule: oneCluster, withoutCluster: true},
	{id: "brokers.release", area: "brokers", promise: onceOnly, can: noBroken, rule: release},
	{id: "brokers.requests", area: "brokers", promise: onceOnly, can: plain, rule: requests},
	{id: "brokers.known-bugs", area: "brokers", promise: onceOnly, can: all, rule: knownBugs},
	{id: "brokers.redpanda", area: "brokers", promise: onceOnly, can: adviceOnly, rule: redpanda},
	{id: "features.transactions", area: "features", promise: onceOnly, can: noBroken, rule: transactionLevel},
	{id: "features.group-protocols", area: "features", promise: hostage, can: noUnknown, rule: groupProtocols},

	{id: "replication.factor", area: "replication", promise: onceOnly, can: all, rule: replicationFactor},
	{id: "replication.min-insync", area: "replication", promise: onceOnly, can: all, rule: minInSync},
	{id: "replication.unclean-election", area: "replication", promise: onceOnly, can: noWarning, rule: uncleanElection},
	{id: "replication.now", area: "replication", promise: onceOnly, can: noUnknown, rule: replicasNow},

	{id: "limits.transaction-timeout", area: "limits", promise: onceOnly, can: noWarning, rule: transactionTimeout},
	{id: "limits.session-timeout", area: "limits", promise: onceOnly, can: noWarning, rule: sessionTimeout},
	{id: "limits.transactional-id-expiration", area: "limits", promise: onceOnly, can: noBroken, rule: idExpiration},
	{id: "limits.offsets-retention", area: "limits", promise: silent, can: noBroken, rule: offsetsRetention},
	{id: "limits.record-size", area: "limits", promise: silent, can: noWarning, rule: recordSize},

	{id: "topics.settings", area: "topics", promise: onceOnly, can: noWarning, rule: topicSettings},
	{id: "topics.pair", area: "topics", promise: onceOnly, can: plain, rule: topicPair},
	{id: "topics.tombstones", area: "topics", promise: onceOnly, can: noBroken, rule: tombstones},
	{id: "topics.compression", area: "topics", promise: latency, can: noBroken, rule: compression},
	{id: "topics.cleaner", area: "topics", promise: bounded, can: noBroken, rule: cleaner},
	{id: "ingress.topics", area: "ingress", promise: silent, can: noWarning, rule: ingressTopics},
	{id: "ingress.partitions", area: "ingress", promise: order, can: information, rule: ingressPartitions},
	{id: "ingress.retention", area: "ingress", promise: silent, can: noBroken, rule: ingressRetention},
	{id: "ingress.compaction", area: "ingress", promise: silent, can: noBroken, rule: ingressCompaction},
	{id: "egress.topics", area: "egress", promise: silent, can: noBroken, rule: egressTopics},

	{id: "clusters.elsewhere", area: "clusters", promise: silent, can: noBroken, rule: otherClusters},

	{id: "access.topics", area: "access", promise: silent, can: noWarning, rule: topicAccess},
	{id: "access.group", area: "access", promise: silent, can: noWarning, rule: groupAccess},
	{id: "access.transactional-ids", area: "access", promise: silent, can: noWarning, rule: transactionalAccess},
	{id: "access.takeover", area: "access", promise: onceOnly, can: noWarning, rule: takeoverAccess},

	{id: "clock.difference", area: "clock", promise: onceOnly, can: all, rule: clockDifference},
	{id: "transactions.hanging", area: "transactions", promise: hostage, can: noWarning, rule: hangingTransactions},
	{id: "group.members", area: "group", promise: onceOnly, can: all, rule: groupMembers},
	{id: "endpoints.reachable", area: "endpoints", promise: hostage, can: noBroken, rule: endpointsReachable, withoutCluster: true},
}
