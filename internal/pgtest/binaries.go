package pgtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/semel-dev/semel/internal/testserver"
)

// binaries is the directory of the programs of one PostgreSQL.
var binaries = sync.OnceValues(func() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			return filepath.Dir(initdb), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no initdb in the PATH or in /usr/lib/postgresql/*/bin; install PostgreSQL 15 or newer")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
})

// run runs one of PostgreSQL's programs to its end.
func run(h *testserver.Home, program string, args ...string) error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	return h.Run(filepath.Join(bin, program), args...)
}

// place makes the home of a server, or of what works on one.
func place() (*testserver.Home, error) {
	return testserver.Place("PostgreSQL", "semel-pg-", "postgres")
}
