//go:build unix

package torture

import (
	"os"
	"syscall"
)

// canPause says whether a process can be stopped and continued here.
const canPause = true

// killGroup sends SIGKILL to a process and all that it started.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // an error says that it has ended

// pauseGroup and resumeGroup stop it, and let it go on.
func pauseGroup(pid int) error  { return syscall.Kill(-pid, syscall.SIGSTOP) }
func resumeGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGCONT) }

// stopSignal asks a server to stop in order.
var stopSignal os.Signal = syscall.SIGTERM
