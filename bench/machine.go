package bench

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where a study ran: as much as can be told without privileges.
type Machine struct {
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	CPU        string `json:"cpu,omitempty"` // the model, where the system says
	Cores      int    `json:"cores"`         // that the process may use
	Memory     uint64 `json:"memory_bytes,omitempty"`
	FileSystem string `json:"file_system,omitempty"` // of the stores, such as ext4
	Device     string `json:"device,omitempty"`
	Go         string `json:"go"`
}

func thisMachine(dir string) Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	m.CPU, _ = fieldOf("/proc/cpuinfo", "model name")
	if kib, found := fieldOf("/proc/meminfo", "MemTotal"); found {
		n, _ := strconv.ParseUint(strings.TrimSuffix(kib, " kB"), 10, 64)
		m.Memory = n << 10
	}
	m.FileSystem, m.Device = FileSystem(dir)
	return m
}

// fieldOf is the first value of a field in a file of lines "name : value".
func fieldOf(file, name string) (string, bool) {
	f, err := os.Open(file)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// FileSystem is the type of the file system that a directory is on, and its
// device, where the system tells: on Linux.
func FileSystem(dir string) (fsType, device string) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", ""
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", ""
	}
	return mountOf(dir, string(mounts))
}

// InMemory says whether a type of file system keeps nothing on a disk, so that
// a sync costs nothing and means nothing.
func InMemory(fsType string) bool { return fsType == "tmpfs" || fsType == "ramfs" }

// mountOf finds the mount below which a path is: the longest, and of those
// mounted on the same directory the last, which hides the others. The format is
// of proc_pid_mountinfo(5).
func mountOf(path, mountinfo string) (fsType, device string) {
	longest := -1
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(line, " - ")
		fields, details := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(details) < 2 {
			continue
		}
		point := unescapeMount(fields[4])
		below := path == point || point == "/" || strings.HasPrefix(path, point+"/")
		if below && len(point) >= longest {
			longest, fsType, device = len(point), details[0], unescapeMount(details[1])
		}
	}
	return fsType, device
}

// unescapeMount undoes the escapes of mountinfo: a backslash and three octal
// digits for a space, a tab, a newline and a backslash.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
