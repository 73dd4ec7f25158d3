//go:build unix

package testserver

import (
	"os/exec"
	"syscall"
)

// drop makes a program run as the account.
func (h *Home) drop(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for the tests, which stop it
	if h.user == nil {
		return nil
	}
	uid, gid, err := ids(h.user)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // the system's own numbers
	return nil
}

// Pause stops a process of a server, and returns when it has stopped.
func Pause(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	stopped(pid) // a signal that was sent has not arrived yet
	return nil
}

// Resume lets it go on.
func Resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// killAll kills a server and what it forked. A backend of PostgreSQL heads a
// session of its own and notices the postmaster's death only when it waits for
// something: left alone, it would finish a commit after the server was said to be
// dead.
func killAll(server int) error {
	if err := Pause(server); err != nil { // it forks no more
		return err
	}
	for {
		backends := children(server)
		if len(backends) == 0 {
			break
		}
		for _, pid := range backends {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				return err
			}
		}
		for _, pid := range backends {
			buried(pid)
		}
	}
	if err := syscall.Kill(server, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}
