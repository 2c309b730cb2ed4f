// Package planted checks the checker: it plants a bug into a copy of a file of the worker and runs a test of the worker
// that must fail for it.
//
// Each bug is a textual patch that go test lays over the source with -overlay; the tree is not touched. A patch whose
// text is not there exactly once is stale, which is a failure that says so: whoever changes such a line plants the bug
// anew.
package planted
