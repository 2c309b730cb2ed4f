//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"syscall"
)

// childAttr gives the child its own process group; only Linux can tie the child's life to ours.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func box(*exec.Cmd, string, string) {}

// boxes says why this machine has none.
func boxes() error { return errors.New("a full disk can be made on Linux only") }
