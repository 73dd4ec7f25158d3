// Package testserver is what tests that start a database's server have in common,
// whichever it is: a directory of its own, an ordinary user to run as, a process
// that is waited for, killed and started again and that does not outlive the
// tests, and one server that the tests of a binary share. See packages pgtest and
// mariadbtest.
package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
)

// Home is where a server lives: its data, its socket and its log. It goes with
// Remove.
type Home struct {
	Dir  string
	name string     // of the server, for people
	user *user.User // whom the server runs as; nil: whoever runs the tests
}

// Place makes a home. When the tests run as root, which servers refuse to be, its
// owner and the server's is the first of the accounts that there is, or nobody.
// The path is short, because that of a socket must be: t.TempDir is not.
func Place(name, pattern string, accounts ...string) (*Home, error) {
	u, err := ordinary(name, accounts)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return nil, err
	}
	h := &Home{Dir: dir, name: name, user: u}
	if err := h.give(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return h, nil
}

func ordinary(name string, accounts []string) (*user.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, account := range append(accounts, "nobody") {
		if u, err := user.Lookup(account); err == nil {
			return u, nil
		}
	}
	return nil, fmt.Errorf("%s does not run as root, and there is no user of %v, nor nobody, to run it as", name, accounts)
}

// give makes a file or directory the account's.
func (h *Home) give(path string) error {
	if h.user == nil {
		return nil
	}
	uid, gid, err := ids(h.user)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

func ids(u *user.User) (uid, gid int, err error) {
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// Path is that of a file in the home.
func (h *Home) Path(name string) string { return filepath.Join(h.Dir, name) }

// Run runs a program to its end, as the account.
func (h *Home) Run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = h.Dir
	if err := h.drop(cmd); err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, out)
	}
	return nil
}

// Tail is the end of the server's log.
func (h *Home) Tail() []byte {
	b, err := os.ReadFile(h.log())
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}

func (h *Home) log() string { return h.Path("log") }

// Remove removes all of it. The server has ended.
func (h *Home) Remove() error { return os.RemoveAll(h.Dir) }
