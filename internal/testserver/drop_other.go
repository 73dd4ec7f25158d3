//go:build !unix

package testserver

import (
	"errors"
	"os/exec"
)

func (h *Home) drop(*exec.Cmd) error { return errors.New("servers are started on Unix only") }

// Pause and Resume are for servers that run.
func Pause(int) error { return errors.New("servers are paused on Unix only") }

// Resume is the other one.
func Resume(int) error { return errors.New("servers are paused on Unix only") }

func killAll(int) error { return errors.New("servers are killed on Unix only") }
