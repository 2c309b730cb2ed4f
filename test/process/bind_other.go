//go:build !linux

package process

import "syscall"

// bind gives the child its own process group, so that Ctrl-C reaches this program only. Only Linux can tie the child's
// life to ours.
func bind(attr *syscall.SysProcAttr) { attr.Setpgid = true }
