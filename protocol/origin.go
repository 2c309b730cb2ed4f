package protocol

// A message from an ingress that forwards headers tells under these names, beside TimestampKey, where its record lies:
// the topic by its own name, the other two in decimal digits. They say where something came from, so an egress leaves
// them out of its records.
const (
	TopicKey     = "statefun.kafka/topic"
	PartitionKey = "statefun.kafka/partition"
	OffsetKey    = "statefun.kafka/offset"
)
