package process

import "syscall"

// bind makes the kernel kill the child when this program is gone, however it went, and keeps the terminal's signals from
// it: whoever started it decides how it ends.
func bind(attr *syscall.SysProcAttr) {
	attr.Pdeathsig, attr.Setpgid = syscall.SIGKILL, true
}
