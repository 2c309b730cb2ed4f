package egress

// Explain says why a topic refuses a record for which a broker, or the client in its place, gave this error. It is nil for
// an error that is not known to be the record's or its topic's: the record may be tried again.
func Explain(topic string, err error) *Refusal {
	switch blameOf(err) {
	case blameTopic:
		return refusal(topic, err)
	case blameSize:
		return &Refusal{Topic: topic, Reason: TooLarge, Detail: err}
	case blameRecord:
		return &Refusal{Topic: topic, Reason: InvalidRecord, Detail: err}
	}
	return nil
}

// Topical tells a refusal of every record of the topic from one of a record alone. Somebody may mend the topic.
func (r *Refusal) Topical() bool {
	return r.Reason == UnknownTopic || r.Reason == NotAuthorized || r.Reason == RefusedByTopic
}

// Mendable tells a refusal that may end without another answer of the function: somebody may create the topic, give the
// right to write to it, or let it take more.
func (r *Refusal) Mendable() bool {
	return r.Topical() || r.Reason == TooLarge || r.Reason == KeyRequired
}
