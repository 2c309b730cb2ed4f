package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// box lets the command run with its folder on a file system of its own that holds bytes. It needs a user namespace, so
// no rights, and a kernel that gives them to everyone.
func box(cmd *exec.Cmd, folder string, bytes string) {
	arguments := append([]string{folder, cmd.Path}, cmd.Args[1:]...)
	cmd.Args = append([]string{"sh", "-c", `mount -t tmpfs -o size=` + bytes + ` chaos "$0" && exec "$@"`}, arguments...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// boxes says why this machine has none.
func boxes() error {
	folder, err := os.MkdirTemp("", "chaos-box-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	cmd := exec.Command(path)
	box(cmd, filepath.Clean(folder), "1m")
	return cmd.Run()
}
