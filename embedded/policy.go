package embedded

import "github.com/statefun-kafka/statefun-kafka/module"

// A Policy says what becomes of messages that a function fails at ([OnFailure]), and of records that cannot become
// messages (OnInvalid of an ingress).
type Policy string

// The policies. The dead-letter topic keeps bytes, headers and the reason.
const (
	Retry      Policy = module.FailureRetry      // of functions: try again with growing pauses, for that instance alone; the default there
	DeadLetter Policy = module.FailureDeadLetter // to the dead-letter topic; the default of records
	Skip       Policy = module.FailureSkip       // drop them, with a metric and a line of the log
	Fail       Policy = module.InvalidFail       // of records: Run ends with an error
)
