//go:build unix

package child

import (
	"os/exec"
	"syscall"
)

// ownGroup makes a program the head of a process group, so that it and all that
// it starts can be signalled together, and a terminal's interrupt passes it by.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
