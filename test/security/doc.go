// Package security runs the worker against a real Kafka that lets nobody in without a key or a password, in every way that
// the Java clients have names for, and looks for secrets in what the worker says.
package security
