//go:build !linux

package main

import (
	"errors"
	"os/exec"
)

func box(*exec.Cmd, string, string) {}

// boxes says why this machine has none.
func boxes() error { return errors.New("a full disk can be made on Linux only") }
