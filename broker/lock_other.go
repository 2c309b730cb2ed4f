//go:build !unix

package broker

import "os"

// lock does nothing where the system has no advisory locks: two brokers on one folder are then not noticed.
func lock(*os.File) error { return nil }
