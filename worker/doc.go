// Package worker runs the tasks of the partitions assigned to this process inside one Kafka transaction after
// another.
//
// One goroutine, the loop, owns every task, path, queue and the transaction that is being collected; nothing it
// owns has a lock. Around it run the goroutines that wait for something:
//
//	reader   polls a client, decodes records, hands batches to the loop      one for ingresses, one for the mailbox
//	call     completes, sends and checks one invocation, hands the answer to the loop          up to the slot limit
//	commit   carries one transaction from its cut to the store                                           one at most
//	takeover fences, fetches, waits for barriers and replays the partitions of one assignment
//	lookup   what the loop needs of the cluster now and then: ends of mailboxes, deletion of what is done
//
// A record goes round like this:
//
//	reader → loop: task.Arrive → dispatch: task.Take → call: task.Complete, invoker, protocol.ParseAnswer
//	→ loop: task.Check, task.Apply, messages sent, records collected → cut: rows, positions
//	→ commit: produce, flush, TxnOffsetCommit, EndTxn, store.Apply → loop: task.Committed
//
// Everything that is applied between two cuts is in one transaction; a cut lies between two steps of the loop, so
// all effects of an answer are on one side of it.
package worker
