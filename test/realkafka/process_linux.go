package realkafka

import "syscall"

// childAttr makes the kernel kill the child when this program is gone, however it went.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
