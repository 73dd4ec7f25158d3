//go:build !linux

package testserver

import "os/exec"

// dieWithParent: there is no way; a test binary that dies leaves its server.
func dieWithParent(*exec.Cmd) {}

// children: there is no way either; backends end when they notice.
func children(int) []int { return nil }

func buried(int) {}

func stopped(int) {}
