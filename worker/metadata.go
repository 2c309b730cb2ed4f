package worker

import (
	"fmt"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// offsetMetadata travels with each committed offset. It proves the outcome of a transaction whose end was not
// acknowledged, and names the producer for people who look at the group.
type offsetMetadata struct {
	transaction, producer string
	guess                 bool // written with a barrier, before the progress rows were known; never compared
}

// metadataVersion is the first word. A later version that changes the meaning changes the number.
const (
	metadataName    = "statefun-kafka/"
	metadataVersion = metadataName + "1"
)

// String writes: version transaction producer true|guess
func (m offsetMetadata) String() string {
	sure := "sure"
	if m.guess {
		sure = "guess"
	}
	return fmt.Sprintf("%s %s %s %s", metadataVersion, m.transaction, m.producer, sure)
}

// parseOffsetMetadata reports false for metadata that somebody else wrote, and an error for what a newer version of this
// program did: compared as if it were somebody else's, it would be taken for an operator's change.
func parseOffsetMetadata(s string) (m offsetMetadata, ours bool, err error) {
	words := strings.Fields(s)
	if len(words) == 0 || !strings.HasPrefix(words[0], metadataName) {
		return m, false, nil
	}
	if len(words) != 4 || words[0] != metadataVersion {
		return m, false, fmt.Errorf("offset metadata %q is unknown, this build reads %s: %w", words[0], metadataVersion, protocol.ErrNewer)
	}
	return offsetMetadata{transaction: words[1], producer: words[2], guess: words[3] == "guess"}, true, nil
}
