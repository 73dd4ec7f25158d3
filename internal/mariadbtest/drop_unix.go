//go:build unix

package mariadbtest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

func ids(u *user.User) (uid, gid int, err error) {
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// give makes a directory the account's.
func give(path string, u *user.User) error {
	if u == nil {
		return nil
	}
	uid, gid, err := ids(u)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// drop makes a program run as the account, and not end by a terminal's interrupt.
func drop(cmd *exec.Cmd, u *user.User) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd)
	if u == nil {
		return nil
	}
	uid, gid, err := ids(u)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // the system's own numbers
	return nil
}
