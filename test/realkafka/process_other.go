//go:build !linux

package realkafka

import "syscall"

// childAttr gives the child its own process group, so that Ctrl-C reaches this program only and the broker is
// stopped in order. Only Linux can tie the child's life to ours.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
