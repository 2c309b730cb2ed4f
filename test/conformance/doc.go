// Package conformance holds the built worker against the behaviours of Apache Flink Stateful Functions, case by case.
//
// A case (case.go) has the id it is known by, one line that says what it shows and, where ours differs on purpose, a
// sentence that says how and why. It runs against a worker process on an embedded broker process, and again on Apache
// Kafka, with functions that record what they are sent and answer what the case says. Most cases share one worker, in
// which each has a namespace, an ingress topic and an egress topic of its own; a case that restarts its worker or needs a
// module of its own starts one. Requests and answers pass through the official messages of the StateFun SDK, not through
// the program's own codec.
//
// docs/compatibility.md is written from the tables: go test ./test/conformance -run TestCompatibility -args -write.
// With -short the cases are skipped; -args -program PATH runs them against a program that is built already. One case alone: go test ./test/conformance -run TestConformance/A/A5$.
package conformance
