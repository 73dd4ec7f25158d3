//go:build !unix

package testserver

import (
	"errors"
	"os/exec"
)

func (h *Home) drop(*exec.Cmd) error { return errors.New("servers are started on Unix only") }

func killAll(int) error { return errors.New("servers are killed on Unix only") }
