//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
)

func drop(*exec.Cmd) error { return errors.New("servers are started on Unix only") }

func killAll(int) error { return errors.New("servers are killed on Unix only") }
