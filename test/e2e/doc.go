// Package e2e tests the built program from outside: real processes, real brokers, functions on the official SDKs.
//
// The brokers are the program's own development broker and Apache Kafka 4.1.0 and 3.9.1. Nothing here imports a part of
// the program; what the tests know of it is its command line, its log, its admin address and what it writes to Kafka.
// With -short all of it is skipped. Flags (go test ./test/e2e -args …): -seed, -kills, -rate, -brokers, -addresses.
package e2e
