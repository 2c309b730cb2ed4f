// Package outbox delivers rows of the changelog to where no transaction of the application reaches: another Kafka cluster,
// a program's own code.
//
// A function's answer that sends there becomes a row, in the transaction of everything else that the answer does. After
// the commit a lane reads the row back from the store and hands it to its target; once the target has it, a later
// transaction removes the row:
//
//	answer applied   row put                        in the transaction of the answer
//	committed        row in the store               its lane is woken
//	delivered        by the target, in order        nothing of it is remembered but in this process
//	removed          tombstone put                  in a later transaction
//
// A crash between the last two delivers the row again, by whoever owns the partition then: at least once. Every copy
// carries the row's id, by which a reader can make it once.
//
// There is one lane for each partition of the application and target. It holds no rows but those of one round, so what
// waits for a target that is down lies on disk; the worker stops reading ingresses when that has reached its limit.
package outbox
