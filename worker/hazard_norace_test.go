//go:build !race

package worker

// slower divides the size of large tests when the race detector runs.
const slower = 1
