//go:build unix && !linux

package mariadbtest

import "os/exec"

// dieWithParent: there is no way; a test binary that dies leaves its server.
func dieWithParent(*exec.Cmd) {}
