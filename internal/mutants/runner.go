package mutants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Options say how much is run.
type Options struct {
	Root    string        // of the module
	Runs    int           // of the simulation, each from other seeds
	Seeds   uint64        // at most, in each of them
	Timeout time.Duration // of one test binary; one that hangs has found something
	Trust   bool          // that the tests pass without a mutant: they were run just now
}

// A Result is what became of one mutant.
type Result struct {
	Name    string   `json:"name"`
	Fault   string   `json:"fault"`
	File    string   `json:"file"`
	Found   bool     `json:"found"`
	By      []string `json:"by,omitempty"`     // package.Test
	Missed  []string `json:"missed,omitempty"` // tests that were to find it and passed
	Seeds   []uint64 `json:"seeds,omitempty"`  // that each run of the simulation needed; 0 if it found nothing
	Median  uint64   `json:"median_seeds,omitempty"`
	Error   string   `json:"error,omitempty"` // why nothing can be said of it
	Hung    bool     `json:"hung,omitempty"`  // a test found it only by taking too long
	Seconds float64  `json:"seconds"`
}

// Runner builds tests with mutants in them, and without, and runs them.
type Runner struct {
	opt   Options
	dir   string          // of what is built
	sound map[string]bool // tests that pass without a mutant, by package and name
}

// NewRunner makes a runner. Close removes what it built.
func NewRunner(opt Options) (*Runner, error) {
	root, err := filepath.Abs(opt.Root)
	if err != nil {
		return nil, err
	}
	opt.Root = root
	dir, err := os.MkdirTemp("", "semel-mutants")
	return &Runner{opt: opt, dir: dir, sound: make(map[string]bool)}, err
}

// Close removes what was built.
func (r *Runner) Close() error { return os.RemoveAll(r.dir) }

// Run plants one mutant and runs what is to find it. Result.Error says that
// nothing can be said of the mutant: it does not compile, or a test fails
// without it.
func (r *Runner) Run(ctx context.Context, m *Mutant) Result {
	began := time.Now()
	res := Result{Name: m.Name, Fault: m.Fault, File: m.File}
	overlay, err := m.overlay(r.opt.Root, r.dir)
	switch {
	case err != nil:
	case m.Simulated():
		err = r.simulate(ctx, overlay, &res)
	default:
		err = r.test(ctx, m, overlay, &res)
	}
	if err != nil {
		res.Found, res.Error = false, err.Error()
	}
	res.Seconds = time.Since(began).Seconds()
	return res
}

// Try plants one mutant and runs all tests of a package, to see which of them
// could be named as those that find it. The package's tests are to pass without.
func (r *Runner) Try(ctx context.Context, m *Mutant, pkg string) Result {
	began := time.Now()
	res := Result{Name: m.Name, Fault: m.Fault, File: m.File}
	overlay, err := m.overlay(r.opt.Root, r.dir)
	if err == nil {
		var bin string
		if bin, err = r.build(ctx, pkg, overlay); err == nil {
			var out []byte
			res.Found, out, err = r.run(ctx, bin, pkg, "-test.short")
			for _, failed := range failedTest.FindAllSubmatch(out, -1) {
				res.By = append(res.By, string(failed[1]))
			}
			if res.Found && len(res.By) == 0 {
				res.By = []string{"(a panic, or time was over)"}
			}
		}
	}
	if err != nil {
		res.Found, res.Error = false, err.Error()
	}
	res.Seconds = time.Since(began).Seconds()
	return res
}

// failedTest is how a test binary tells of a test that failed.
var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// test runs ordinary tests. Every one of them has to find the mutant: one that
// does not is named, lest it be taken for more than it is.
func (r *Runner) test(ctx context.Context, m *Mutant, overlay string, res *Result) error {
	for _, d := range m.By {
		if !r.opt.Trust {
			if err := r.baseline(ctx, d); err != nil {
				return err
			}
		}
		bin, err := r.build(ctx, d.Package, overlay)
		if err != nil {
			return err
		}
		for _, t := range d.Tests {
			name := nameOf(d.Package, t)
			failed, out, err := r.run(ctx, bin, d.Package, flags(t, d.Short)...)
			res.Hung = res.Hung || timeOver(out)
			switch {
			case err != nil:
				return err
			case failed:
				res.By = append(res.By, name)
			default:
				res.Missed = append(res.Missed, name)
			}
		}
	}
	res.Found = len(res.Missed) == 0
	return nil
}

// nameOf is a test as people write it: server.TestRoles, semel.TestEffects.
func nameOf(pkg, test string) string {
	if pkg == "." {
		pkg = "semel"
	}
	return strings.TrimPrefix(pkg, "./") + "." + test
}

// baseline sees that tests pass without a mutant: one that fails anyhow finds
// nothing.
func (r *Runner) baseline(ctx context.Context, d Detector) error {
	var bin string
	for _, t := range d.Tests {
		key := fmt.Sprint(d.Package, t, d.Short)
		if r.sound[key] {
			continue
		}
		if bin == "" {
			var err error
			if bin, err = r.build(ctx, d.Package, ""); err != nil {
				return err
			}
		}
		failed, out, err := r.run(ctx, bin, d.Package, flags(t, d.Short)...)
		if err != nil {
			return err
		}
		if failed || bytes.Contains(out, []byte("no tests to run")) {
			return fmt.Errorf("%s of %s does not pass without a mutant:\n%s", t, d.Package, out)
		}
		r.sound[key] = true
	}
	return nil
}

func flags(test string, short bool) []string {
	return []string{"-test.run=^" + test + "$", fmt.Sprintf("-test.short=%v", short)}
}

// seedLine is how the simulation tells of a seed that failed.
var seedLine = regexp.MustCompile(`\bseed (\d+): `)

// baselineSeeds are run without a mutant.
const baselineSeeds = 200

// simulationBaseline sees that the simulation passes without a mutant. It is
// cheap, so nobody's word is taken for it.
func (r *Runner) simulationBaseline(ctx context.Context) error {
	if r.sound[Simulation] {
		return nil
	}
	bin, err := r.build(ctx, Simulation, "")
	if err != nil {
		return err
	}
	switch n, out, err := r.search(ctx, bin, 1, baselineSeeds); {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("the simulation does not pass without a mutant:\n%s", out)
	}
	r.sound[Simulation] = true
	return nil
}

// simulate runs seeds, from several beginnings, until one fails.
func (r *Runner) simulate(ctx context.Context, overlay string, res *Result) error {
	if err := r.simulationBaseline(ctx); err != nil {
		return err
	}
	bin, err := r.build(ctx, Simulation, overlay)
	if err != nil {
		return err
	}
	for i := range r.opt.Runs {
		first := uint64(i)*1000*1000 + 1
		n, out, err := r.search(ctx, bin, first, r.opt.Seeds)
		if err != nil {
			return err
		}
		res.Seeds = append(res.Seeds, n)
		res.Hung = res.Hung || timeOver(out)
	}
	if res.Median = median(res.Seeds); res.Median > 0 {
		res.Found = true
		res.By = []string{nameOf(Simulation, SimulationTest)}
	}
	return nil
}

// search is how many seeds, from the first on, it takes to find something; 0 if
// none of so many does. They are run in parts that grow, so that a bug which
// nearly every seed finds costs little.
func (r *Runner) search(ctx context.Context, bin string, first, seeds uint64) (uint64, []byte, error) {
	for done, part := uint64(0), uint64(4); done < seeds; part *= 2 {
		part = min(part, seeds-done)
		failed, out, err := r.run(ctx, bin, Simulation, "-test.run=^"+SimulationTest+"$",
			fmt.Sprintf("-first=%d", first+done), fmt.Sprintf("-seeds=%d", part))
		if err != nil {
			return 0, nil, err
		}
		if failed {
			return firstSeed(out, first, done+part) - first + 1, out, nil
		}
		done += part
	}
	return 0, nil, nil
}

// timeOver says whether a test binary ended because a test took too long. The
// same test was quick without the mutant, so that is the mutant's doing, but it
// tells less than a test that says what is wrong.
func timeOver(out []byte) bool { return bytes.Contains(out, []byte("panic: test timed out")) }

// firstSeed is the lowest seed that failed. A process that ended before it could
// say so, or hung, is counted as the last one's.
func firstSeed(out []byte, first, ran uint64) uint64 {
	lowest := first + ran - 1
	for _, found := range seedLine.FindAllSubmatch(out, -1) {
		var seed uint64
		if _, err := fmt.Sscan(string(found[1]), &seed); err == nil {
			lowest = min(lowest, seed)
		}
	}
	return lowest
}

// median counts what was not found as more than everything; 0 means that.
func median(seeds []uint64) uint64 {
	sorted := slices.Clone(seeds)
	slices.SortFunc(sorted, func(a, b uint64) int {
		switch {
		case a == b:
			return 0
		case b == 0 || a != 0 && a < b:
			return -1
		}
		return 1
	})
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// build compiles a package's tests, with a mutant if there is an overlay.
func (r *Runner) build(ctx context.Context, pkg, overlay string) (string, error) {
	bin := filepath.Join(r.dir, "tests.exe")
	args := []string{"test", "-c", "-vet=off", "-o", bin}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = r.opt.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the tests of %s do not build: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

// run runs a test binary in its package's directory, as the go command does.
func (r *Runner) run(ctx context.Context, bin, pkg string, args ...string) (failed bool, out []byte, err error) {
	cmd := exec.CommandContext(ctx, bin, append(args, "-test.timeout="+r.opt.Timeout.String())...)
	cmd.Dir = filepath.Join(r.opt.Root, filepath.FromSlash(pkg))
	defer forget(cmd.Dir, kept(cmd.Dir))
	out, err = cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, out, ctx.Err()
	case errors.As(err, &exit):
		return true, out, nil
	}
	return false, out, err
}

// kept are the failures that property tests (pgregory.net/rapid) left beside
// their package. Those of a mutant are nobody's, and are forgotten.
func kept(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "testdata", "rapid", "*", "*.fail")) // the pattern is good
	return files
}

func forget(dir string, before []string) {
	for _, name := range kept(dir) {
		if !slices.Contains(before, name) {
			_ = os.Remove(name)
			for range 3 { // testdata/rapid/Test, as far as they are empty now
				name = filepath.Dir(name)
				_ = os.Remove(name)
			}
		}
	}
}
