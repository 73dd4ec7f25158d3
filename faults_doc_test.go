package semel_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/semel-dev/semel/internal/mutants"
)

var (
	faultRow  = regexp.MustCompile(`^\| ([0-9]+a?) \| (.+) \| (.+) \| (.*)\|$`)
	faultTest = regexp.MustCompile("`([^`]+)`")
	faultCite = regexp.MustCompile(`FAULTS((?:(?:,| and| to|-)? ?[0-9]+a?)+)`)
	faultNo   = regexp.MustCompile(`[0-9]+a?`)
)

const (
	faultsPage   = "docs/operations/faults.md"
	faultsNumber = 67 // and 3a
)

// Every fault has a row, and every row names tests that are there, or says that
// its part is not built.
func TestFaultsNameTheirTests(t *testing.T) {
	t.Parallel()
	simulation := strings.TrimPrefix(mutants.Simulation, "./") + "." + mutants.SimulationTest
	b, err := os.ReadFile(faultsPage)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "`simulation` stands for `"+simulation+"`") {
		t.Errorf("%s does not say that the simulation is %s", faultsPage, simulation)
	}
	inDir := make(map[string]map[string]bool)
	known := func(name string) bool {
		if name == "simulation" {
			name = simulation
		}
		dir, test := path.Dir(name), path.Base(name)
		pkg, test, _ := strings.Cut(test, ".")
		if dir = path.Join(dir, pkg); dir == "semel" {
			dir = "."
		}
		if inDir[dir] == nil {
			tests, err := mutants.TestsOf(filepath.FromSlash(dir))
			if err != nil {
				t.Fatal(err)
			}
			inDir[dir] = tests
		}
		return inDir[dir][test]
	}
	rows := make(map[string]bool)
	for line := range strings.Lines(string(b)) {
		m := faultRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		number, tests := m[1], faultTest.FindAllStringSubmatch(m[4], -1)
		if rows[number] {
			t.Errorf("fault %s is there twice", number)
		}
		rows[number] = true
		if notYet := strings.HasPrefix(m[3], "not yet: "); notYet == (len(tests) > 0) {
			t.Errorf("fault %s has %d tests, and its part is not built: %v", number, len(tests), notYet)
		}
		for _, name := range tests {
			if !known(name[1]) {
				t.Errorf("fault %s is to be shown by %s, and there is no such test", number, name[1])
			}
		}
	}
	want := map[string]bool{"3a": true}
	for n := range faultsNumber {
		want[fmt.Sprint(n+1)] = true
	}
	for number := range want {
		if !rows[number] {
			t.Errorf("fault %s has no row", number)
		}
	}
	for number := range rows {
		if !want[number] {
			t.Errorf("there is no fault %s", number)
		}
	}
}

// What a test's comment cites is a fault that has a row, so that nobody looks
// for it in vain.
func TestFaultsThatAreCited(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(faultsPage)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*/*_test.go", "*/*/*_test.go", "*/*/*/*_test.go"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	cited := 0
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range faultCite.FindAllStringSubmatch(string(source), -1) {
			for _, number := range faultNo.FindAllString(m[1], -1) {
				cited++
				if !strings.Contains(string(b), "\n| "+number+" | ") {
					t.Errorf("%s cites fault %s, which has no row", name, number)
				}
			}
		}
	}
	if cited < 100 {
		t.Errorf("only %d citations were found", cited)
	}
}
