package conformance

import "syscall"

// childAttr makes the kernel end a child when this program is gone.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
