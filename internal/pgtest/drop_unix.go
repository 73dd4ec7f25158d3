//go:build unix

package pgtest

import (
	"os/exec"
	"strconv"
	"syscall"
)

// drop makes a program run as the account.
func drop(cmd *exec.Cmd) error {
	u, err := account()
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for the tests, which stop it
	if u == nil {
		return nil
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// killAll kills a postmaster and its backends. Each backend heads a session of
// its own and notices the postmaster's death only when it waits for something:
// left alone, it would finish a commit after the server was said to be dead.
func killAll(postmaster int) error {
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil { // it forks no more
		return err
	}
	backends := children(postmaster)
	for _, pid := range append(backends, postmaster) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return err
		}
	}
	for _, pid := range backends {
		buried(pid)
	}
	return nil
}
