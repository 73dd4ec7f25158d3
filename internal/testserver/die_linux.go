package testserver

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dieWithParent ends the server at once when the thread that started it ends,
// as it does when the test binary dies of a timeout or a panic.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT }

// children are the processes that a process started, and that live. Not every
// kernel lists them with their parent, so all processes are looked at.
func children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []int
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if state, of := status(pid); of == strconv.Itoa(parent) && !gone(state) {
			all = append(all, pid)
		}
	}
	return all
}

// status is a process's state and its parent; both are empty if there is none.
func status(pid int) (state, parent string) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // a process that has gone is none
	// "pid (name) state parent ..."; the name may have anything in it.
	rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(rest) < 2 {
		return "", ""
	}
	return rest[0], rest[1]
}

// gone says that a process is no more, or is a zombie, which does nothing.
func gone(state string) bool { return state == "" || state == "Z" || state == "X" }

// buried waits until a killed process is gone. The kernel tells its parent only,
// and that is not us.
func buried(pid int) { await(pid, gone) }

// stopped waits until a process that was sent a SIGSTOP has got it.
func stopped(pid int) { await(pid, func(state string) bool { return state == "T" || gone(state) }) }

func await(pid int, so func(state string) bool) {
	for range 10_000 {
		if state, _ := status(pid); so(state) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
