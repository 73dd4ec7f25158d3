package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is the unit of processor time in /proc: USER_HZ, which is 100 on every
// architecture that Go has.
const clockTick = 10 * time.Millisecond

// familyTime is what a process has used of all processors, with its children:
// those that live, and those that it has buried. A server of which each
// connection is a process is one family.
func familyTime(pid int) time.Duration {
	own, _ := processTime(pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if t, parent := processTime(child); parent == pid {
			own += t
		}
	}
	return own
}

// processTime is a process's, with that of the children that it has buried; and
// who its parent is. It is zero when there is no such process.
func processTime(pid int) (used time.Duration, parent int) {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // one that has gone is none
	// "pid (name) state parent ...", of proc_pid_stat(5); the name may have
	// anything in it. The times are fields 14 to 17, and the parent is field 4.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, 0
	}
	number := func(field int) int {
		n, _ := strconv.Atoi(string(fields[field-3]))
		return n
	}
	for field := 14; field <= 17; field++ {
		used += time.Duration(number(field)) * clockTick
	}
	return used, number(4)
}
