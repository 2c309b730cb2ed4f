//go:build race

package worker

// slower divides the size of large tests: the race detector makes everything about ten times slower.
const slower = 5
