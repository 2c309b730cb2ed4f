package rescale

import "time"

// What a command has come to.
const (
	StateComplete = "complete"
	StateNothing  = "nothing to do"
	StateDryRun   = "dry run"
	StateVerified = "verified"
	StateDiffers  = "different"
	StateAborted  = "aborted"
	StateDeleted  = "deleted"
)

// Report is what a command did or would do.
type Report struct {
	Application    string   `json:"application"`
	Command        string   `json:"command"`
	State          string   `json:"state"`
	FromPartitions int32    `json:"fromPartitions,omitempty"`
	ToPartitions   int32    `json:"toPartitions,omitempty"`
	FromTopics     []string `json:"fromTopics,omitempty"`
	ToTopics       []string `json:"toTopics,omitempty"`
	// Resumed is set when an earlier run had been cut short.
	Resumed bool `json:"resumed,omitempty"`
	// Fenced is how many transactional ids of workers were taken.
	Fenced int `json:"fenced,omitempty"`

	Kinds []Kind      `json:"kinds,omitempty"`
	From  []Partition `json:"from,omitempty"`
	To    []Partition `json:"to,omitempty"`
	// Unread is how many messages of the old mailbox become pending rows; they are among those.
	Unread int64 `json:"unread"`
	// LeftOut is how many cancellation tokens led to no delayed message any more.
	LeftOut     int64    `json:"leftOut,omitempty"`
	Differences []string `json:"differences,omitempty"`
	// Obstacles are why a run would be refused now.
	Obstacles []string `json:"obstacles,omitempty"`
	Deleted   []string `json:"deleted,omitempty"`
	TookMs    int64    `json:"tookMs"`

	began time.Time
}

// Kind is a line of the report: the rows of one kind, as they were and as they were read back.
type Kind struct {
	Kind            string `json:"kind"`
	Rows            int64  `json:"rows"`
	Bytes           int64  `json:"bytes"`
	Checksum        string `json:"checksum"`
	WrittenRows     int64  `json:"writtenRows"`
	WrittenChecksum string `json:"writtenChecksum,omitempty"`
}

// Partition is a line of the report: what one old partition has or one new partition gets.
type Partition struct {
	Partition int32 `json:"partition"`
	Rows      int64 `json:"rows"`
	Bytes     int64 `json:"bytes"`
}

// ended closes the report; after an error there is none.
func (r *Report) ended(err error) (*Report, error) {
	r.TookMs = time.Since(r.began).Milliseconds()
	if err != nil {
		return nil, err
	}
	return r, nil
}

// source takes in what there is.
func (r *Report) source(t *tally) {
	r.Kinds, r.From, r.To = nil, partitions(t.here), partitions(t.there)
	r.Unread, r.LeftOut = t.unread.Rows, t.leftOut
	for _, k := range kindNames {
		s := t.kinds[k.kind]
		r.Kinds = append(r.Kinds, Kind{Kind: k.name, Rows: s.Rows, Bytes: s.Bytes, Checksum: s.Checksum()})
	}
}

// written takes in what was read back.
func (r *Report) written(t *tally) {
	for i, k := range kindNames {
		s := t.kinds[k.kind]
		r.Kinds[i].WrittenRows, r.Kinds[i].WrittenChecksum = s.Rows, s.Checksum()
	}
}

func partitions(sums []Sum) []Partition {
	list := make([]Partition, len(sums))
	for p, s := range sums {
		list[p] = Partition{int32(p), s.Rows, s.Bytes}
	}
	return list
}
