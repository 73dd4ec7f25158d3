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

// children are the processes that a process started. Not every kernel lists
// them with their parent, so all processes are looked at.
func children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []int
	for _, path := range stats {
		stat, _ := os.ReadFile(path) // a process that has gone is none
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		// "pid (name) state parent ..."; the name may have anything in it.
		rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if err == nil && len(rest) > 1 && rest[1] == strconv.Itoa(parent) {
			all = append(all, pid)
		}
	}
	return all
}

// buried waits until a killed process is gone, or is a zombie, which does
// nothing any more. The kernel tells its parent only, and that is not us.
func buried(pid int) {
	for range 5000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) || bytes.Contains(stat, []byte(") X ")) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
