package kafka

import (
	"math"
	"time"

	"github.com/statefun-kafka/statefun-kafka/naming"
)

// Reasons that several properties share.
const (
	ownSecrets   = "${NAME}, ${env:NAME}, ${file:PATH:KEY} and ${directory:PATH:FILE} work without it"
	javaClass    = "it names a Java class"
	ownRetries   = "the worker retries by its own rules"
	ownMetrics   = "metrics are served for Prometheus on the admin address"
	ownGroup     = "the worker runs its own group protocol"
	ownBounds    = "limits in the document statefun-kafka.v1/application bound memory"
	ownPartition = "keyed records go where Kafka's default partitioner puts them"
	goTLS        = "Go's TLS chooses it"
	ownTxn       = "effects commit in the worker's own transactions"
	byteRecords  = "records are bytes for the worker"
	kerberos     = "Kerberos is not supported; " + mechanisms
	ownTokens    = "a token is fetched anew when four fifths of its time have passed"
	brokersToken = "brokers check tokens, clients only send them"
)

// rules holds every property of Kafka's Java consumer and producer that we know of.
var rules = map[string]rule{
	// Connection.
	"bootstrap.servers":                        {side: both, use: servers},
	"client.id":                                {side: both, use: clientID},
	"client.rack":                              {side: reading, use: rack},
	"client.dns.lookup":                        ignored(both, "all addresses of a name are tried"),
	"connections.max.idle.ms":                  {side: both, use: idleTimeout},
	"request.timeout.ms":                       milliseconds(both, 100*time.Millisecond, 15*time.Minute, requestTimeout),
	"socket.connection.setup.timeout.ms":       milliseconds(both, time.Millisecond, longestWire, dialTimeout),
	"socket.connection.setup.timeout.max.ms":   ignored(both, ownRetries),
	"metadata.max.age.ms":                      milliseconds(both, 10*time.Millisecond, time.Hour, metadataAge),
	"metadata.max.idle.ms":                     ignored(writing, "topics are looked up when they are needed"),
	"metadata.recovery.strategy":               ignored(both, ownRetries),
	"metadata.recovery.rebootstrap.trigger.ms": ignored(both, ownRetries),
	"reconnect.backoff.ms":                     ignored(both, ownRetries),
	"reconnect.backoff.max.ms":                 ignored(both, ownRetries),
	"retry.backoff.ms":                         ignored(both, ownRetries),
	"retry.backoff.max.ms":                     ignored(both, ownRetries),
	"retries":                                  ignored(writing, ownRetries),
	"default.api.timeout.ms":                   ignored(reading, ownRetries),
	"receive.buffer.bytes":                     ignored(both, "the operating system chooses it"),
	"send.buffer.bytes":                        ignored(both, "the operating system chooses it"),
	"interceptor.classes":                      ignored(both, javaClass),
	"config.providers":                         ignored(both, ownSecrets),
	"metric.reporters":                         ignored(both, ownMetrics),
	"metrics.num.samples":                      ignored(both, ownMetrics),
	"metrics.recording.level":                  ignored(both, ownMetrics),
	"metrics.sample.window.ms":                 ignored(both, ownMetrics),
	"auto.include.jmx.reporter":                ignored(both, ownMetrics),
	"enable.metrics.push":                      ignored(both, ownMetrics),

	// Consumer.
	"group.id":                      {side: reading}, // consumerGroupId or the application id stands for it
	"auto.offset.reset":             {side: reading}, // the module has warned: autoOffsetResetPosition wins
	"isolation.level":               fixed(reading, "read_committed", "a record of an aborted transaction must have no effect", "read_uncommitted"),
	"enable.auto.commit":            fixed(reading, "false", "positions commit together with the effects", "true"),
	"auto.commit.interval.ms":       ignored(reading, "positions commit together with the effects"),
	"session.timeout.ms":            {side: reading, use: sessionTimeout},
	"heartbeat.interval.ms":         ignored(reading, "heartbeats are frequent because a planned move of partitions waits for one"),
	"max.poll.interval.ms":          ignored(reading, "reading never waits for a function"),
	"max.poll.records":              ignored(reading, ownBounds),
	"partition.assignment.strategy": ignored(reading, ownGroup),
	"group.instance.id":             ignored(reading, naming.WorkerID.String()+" stands for it"),
	"group.protocol":                ignored(reading, ownGroup),
	"group.remote.assignor":         ignored(reading, ownGroup),
	"exclude.internal.topics":       ignored(reading, "topics are read by name"),
	"allow.auto.create.topics":      ignored(reading, "topics are never created by reading them"),
	"check.crcs":                    ignored(reading, "checksums are always checked"),
	"fetch.min.bytes":               size(reading, 0, math.MaxInt32, fetchMinBytes),
	"fetch.max.bytes":               size(reading, 1, largestBatch, fetchMaxBytes),
	"fetch.max.wait.ms":             milliseconds(reading, 0, longestWire, fetchMaxWait),
	"max.partition.fetch.bytes":     size(reading, 1, largestBatch, fetchPartitionBytes),
	"key.deserializer":              ignored(reading, byteRecords),
	"value.deserializer":            ignored(reading, byteRecords),

	// Producer.
	"acks":                                     must(writing, "a transaction needs every in-sync replica", "all", "-1"),
	"enable.idempotence":                       fixed(writing, "true", "a transaction needs it", "false"),
	"linger.ms":                                milliseconds(writing, 0, time.Minute, linger),
	"max.request.size":                         size(writing, 512, largestBatch, maxRequestSize),
	"compression.type":                         {side: writing, use: compression},
	"compression.gzip.level":                   ignored(writing, "each codec runs at its default level"),
	"compression.lz4.level":                    ignored(writing, "each codec runs at its default level"),
	"compression.zstd.level":                   ignored(writing, "each codec runs at its default level"),
	"batch.size":                               ignored(writing, "a batch grows while the one before it is under way"),
	"buffer.memory":                            ignored(writing, ownBounds),
	"delivery.timeout.ms":                      ignored(writing, ownTxn+", and these have a time-out"),
	"max.block.ms":                             ignored(writing, ownBounds),
	"max.in.flight.requests.per.connection":    ignored(writing, "records of a partition are always kept in order"),
	"transactional.id":                         ignored(writing, ownTxn),
	"transaction.timeout.ms":                   ignored(writing, ownTxn),
	"transaction.two.phase.commit.enable":      ignored(writing, ownTxn),
	"partitioner.class":                        ignored(writing, ownPartition),
	"partitioner.ignore.keys":                  ignored(writing, ownPartition),
	"partitioner.adaptive.partitioning.enable": ignored(writing, ownPartition),
	"partitioner.availability.timeout.ms":      ignored(writing, ownPartition),
	"key.serializer":                           ignored(writing, byteRecords),
	"value.serializer":                         ignored(writing, byteRecords),

	// Flink's connector.
	"flink.partition-discovery.interval-millis": ignored(reading, "new partitions are found with the cluster's metadata"),

	// Security. The ones without a reason are read together, by draft.connect.
	"security.protocol":                                   {side: security},
	"security.providers":                                  ignored(security, javaClass),
	"sasl.mechanism":                                      {side: security},
	"sasl.jaas.config":                                    {side: security},
	"ssl.truststore.type":                                 {side: security},
	"ssl.truststore.location":                             {side: security},
	"ssl.truststore.certificates":                         {side: security},
	"ssl.truststore.password":                             {side: security},
	"ssl.keystore.type":                                   {side: security},
	"ssl.keystore.location":                               {side: security},
	"ssl.keystore.certificate.chain":                      {side: security},
	"ssl.keystore.key":                                    {side: security},
	"ssl.keystore.password":                               {side: security},
	"ssl.key.password":                                    {side: security},
	"ssl.endpoint.identification.algorithm":               {side: security},
	"ssl.enabled.protocols":                               {side: security},
	"ssl.protocol":                                        ignored(security, goTLS),
	"ssl.cipher.suites":                                   ignored(security, goTLS),
	"ssl.provider":                                        ignored(security, goTLS),
	"ssl.keymanager.algorithm":                            ignored(security, goTLS),
	"ssl.trustmanager.algorithm":                          ignored(security, goTLS),
	"ssl.secure.random.implementation":                    ignored(security, goTLS),
	"ssl.engine.factory.class":                            ignored(security, javaClass),
	"sasl.client.callback.handler.class":                  ignored(security, javaClass),
	"sasl.login.callback.handler.class":                   ignored(security, javaClass),
	"sasl.login.class":                                    ignored(security, javaClass),
	"sasl.kerberos.service.name":                          ignored(security, kerberos),
	"sasl.kerberos.kinit.cmd":                             ignored(security, kerberos),
	"sasl.kerberos.min.time.before.relogin":               ignored(security, kerberos),
	"sasl.kerberos.ticket.renew.jitter":                   ignored(security, kerberos),
	"sasl.kerberos.ticket.renew.window.factor":            ignored(security, kerberos),
	"sasl.login.connect.timeout.ms":                       {side: security, use: loginTimeout},
	"sasl.login.read.timeout.ms":                          {side: security, use: loginTimeout},
	"sasl.login.refresh.buffer.seconds":                   ignored(security, ownTokens),
	"sasl.login.refresh.min.period.seconds":               ignored(security, ownTokens),
	"sasl.login.refresh.window.factor":                    ignored(security, ownTokens),
	"sasl.login.refresh.window.jitter":                    ignored(security, ownTokens),
	"sasl.login.retry.backoff.ms":                         ignored(security, ownRetries),
	"sasl.login.retry.backoff.max.ms":                     ignored(security, ownRetries),
	"sasl.oauthbearer.token.endpoint.url":                 {side: security},
	"sasl.oauthbearer.jwks.endpoint.url":                  ignored(security, brokersToken),
	"sasl.oauthbearer.scope.claim.name":                   ignored(security, brokersToken),
	"sasl.oauthbearer.sub.claim.name":                     ignored(security, brokersToken),
	"sasl.oauthbearer.expected.audience":                  ignored(security, brokersToken),
	"sasl.oauthbearer.expected.issuer":                    ignored(security, brokersToken),
	"sasl.oauthbearer.client.credentials.client.id":       {side: security},
	"sasl.oauthbearer.client.credentials.client.secret":   {side: security},
	"sasl.oauthbearer.scope":                              {side: security},
	"sasl.oauthbearer.header.urlencode":                   {side: security},
	"sasl.oauthbearer.jwks.endpoint.refresh.ms":           ignored(security, brokersToken),
	"sasl.oauthbearer.jwks.endpoint.retry.backoff.ms":     ignored(security, brokersToken),
	"sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": ignored(security, brokersToken),
	"sasl.oauthbearer.jwt.validator.class":                ignored(security, brokersToken),
	"sasl.oauthbearer.jwt.retriever.class":                ignored(security, javaClass),
	"sasl.oauthbearer.clock.skew.seconds":                 ignored(security, brokersToken),
}
