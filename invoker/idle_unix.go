//go:build unix

package invoker

import "syscall"

// An idleCheck looks whether a resting connection is still what it was when its last answer ended. One
// that the server closed would cost a lost attempt. Worse is one that holds bytes nobody asked for: they
// would be taken for the answer to the next request, which is another address's.
type idleCheck struct {
	raw   syscall.RawConn
	look  func(fd uintptr) bool
	quiet bool
	probe [1]byte
}

func (i *idleCheck) init(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	i.raw = raw
	i.look = func(fd uintptr) bool { // made once, so that a check allocates nothing
		_, _, err := syscall.Recvfrom(int(fd), i.probe[:], syscall.MSG_PEEK)
		i.quiet = err == syscall.EAGAIN || err == syscall.EINTR
		return true
	}
}

// ok says whether the connection is open and has nothing to read.
func (i *idleCheck) ok() bool {
	if i.raw == nil {
		return true
	}
	i.quiet = false
	return i.raw.Read(i.look) == nil && i.quiet
}
