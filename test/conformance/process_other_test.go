//go:build !linux

package conformance

import "syscall"

// childAttr keeps the signals of the terminal from a child.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
