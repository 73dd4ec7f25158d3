package mutants

import "slices"

// Simulation is the package of the seeded simulation, and its test. The test
// has the flags -seed, -seeds and -first, and says "seed N: …" of a seed that
// failed.
const (
	Simulation     = "./internal/sim"
	SimulationTest = "TestSeeds"
)

// A Mutant is one planted bug and who is to find it.
type Mutant struct {
	Name  string
	Fault string // what goes wrong, as a sentence
	File  string // from the root of the module
	Old   string // occurs in the file exactly once
	New   string
	// By are the tests that find it. Where there are none, the simulation does.
	By []Detector
}

// A Detector is tests of one package, each of which finds the mutant.
type Detector struct {
	Package string // ./server
	Tests   []string
	Short   bool // in short mode, which is enough
}

// Simulated says that the simulation is to find the mutant.
func (m *Mutant) Simulated() bool { return len(m.By) == 0 }

// by is tests of one package.
func by(pkg string, tests ...string) []Detector {
	return []Detector{{Package: pkg, Tests: tests}}
}

// shortly is tests of one package, in short mode.
func shortly(pkg string, tests ...string) []Detector {
	return []Detector{{Package: pkg, Tests: tests, Short: true}}
}

// All is every mutant, in the order of the tables.
func All() []Mutant {
	return slices.Concat(coreMessages, coreEffects, coreTime, corePromises, engineMutants, storeMutants, apiMutants, serverMutants, webMutants, twopcMutants, sagaMutants)
}
