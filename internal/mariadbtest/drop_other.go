//go:build !unix

package mariadbtest

import (
	"errors"
	"os/exec"
	"os/user"
)

func give(string, *user.User) error { return nil }

func drop(*exec.Cmd, *user.User) error { return errors.New("servers are started on Unix only") }
