package mariadbtest

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the server when the thread that started it ends, as it does
// when the test binary dies of a timeout or a panic.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }
