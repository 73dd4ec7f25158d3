package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/store"
)

// flips is how many bits are flipped in a soak.
const flips = 10000

// FAULTS 12: a bit flips in a file of the store. A start or a read refuses it,
// or it does not matter; nothing else is ever read than what was written. In
// the log it may cost the units from there on, as a cut does, if nothing tells of
// them.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	n := flips / crashfs.Every(30, 100)
	specimens := []*specimen{aged(t, false), aged(t, true)}
	counts := flipCounts{byKind: map[string]*[5]int{}}
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range next {
				if err := counts.flip(specimens[seed%2], uint64(seed)); err != nil {
					t.Errorf("seed %d: %v\nrerun: SEMEL_SOAK=1 go test ./store/pebble -run '^TestFlippedBits$'", seed, err)
				}
			}
		})
	}
	for seed := 0; seed < n; seed++ {
		next <- seed
	}
	close(next)
	workers.Wait()
	t.Logf("%d bits flipped\n%s", n, counts.report())
	for _, kind := range []string{"log", "table", "MANIFEST", "SEMEL"} {
		if c := counts.byKind[kind]; c == nil || c[refusedAtOpen]+c[refusedAtRead] == 0 {
			t.Errorf("no flip in a %s was refused: %v", kind, c)
		}
	}
}

// inWindow, among stages, is opened with less than was acknowledged.
const inWindow = silent + 1

// aged is a store with files of every kind: tables of flushes, folds and
// compactions, and a log with units that are in no table. It died, or was
// closed.
func aged(t *testing.T, closed bool) *specimen {
	t.Helper()
	sp := new(specimen)
	fsys := vfs.NewMem()
	opt := cutOptions(t, fsys)
	opt.MemTableBytes, opt.foldBytes = 64<<10, 16<<10
	for range 2 {
		st := openQuiet(t, opt)
		w := sp.write(t, st)
		for range 60 {
			w.next(0)
			w.next(1)
		}
		mustClose(t, st)
	}
	opt = cutOptions(t, fsys)
	st := openQuiet(t, opt)
	w := sp.write(t, st)
	for i := range 20 {
		if i == 10 {
			if err := st.writeWatermark(); err != nil {
				t.Fatal(err)
			}
		}
		w.next(0)
		w.next(1)
	}
	if !closed {
		sp.take(t, fsys)
	}
	mustClose(t, st)
	if closed {
		sp.take(t, fsys)
	}
	sp.prove(t)
	return sp
}

// kindOf is what kind of file a name is of.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, ".log"):
		return "log"
	case strings.HasSuffix(name, ".sst"):
		return "table"
	}
	kind, _, _ := strings.Cut(name, "-")
	return kind
}

// flipCounts counts what became of flips, by kind of file.
type flipCounts struct {
	mu     sync.Mutex
	byKind map[string]*[5]int
}

// flip flips the bit that a seed says and judges what becomes of it.
func (c *flipCounts) flip(sp *specimen, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 12))
	byKind := map[string][]string{}
	for name, data := range sp.files {
		if len(data) > 0 && sp.needed(name) {
			byKind[kindOf(name)] = append(byKind[kindOf(name)], name)
		}
	}
	kinds := make([]string, 0, len(byKind))
	for kind, names := range byKind {
		kinds = append(kinds, kind)
		slices.Sort(names)
	}
	slices.Sort(kinds)
	kind := kinds[rng.IntN(len(kinds))]
	name := byKind[kind][rng.IntN(len(byKind[kind]))]
	bad := bytes.Clone(sp.files[name])
	at, bit := rng.IntN(len(bad)), rng.IntN(8)
	bad[at] ^= 1 << bit

	disk, err := sp.disk(name, bad)
	if err != nil {
		return err
	}
	f := sp.look(disk, cutOptions(nil, nil))
	if err := mend(disk, "data/"+name, sp.files[name]); err != nil {
		return err
	}
	stage := f.stage
	if stage == opened && sp.missing(f.units) > 0 {
		stage = inWindow
	}
	c.mu.Lock()
	if c.byKind[kind] == nil {
		c.byKind[kind] = new([5]int)
	}
	c.byKind[kind][stage]++
	c.mu.Unlock()
	return sp.judgeFlip(name, at, f, stage, fmt.Sprintf("bit %d of byte %d of %d of %s flipped", bit, at, len(bad), name))
}

// mend makes a file good that Pebble may have open. Where a store was refused
// it is left as it is, and tries again and again to compact a table, or to read
// its statistics, until that succeeds.
func mend(fsys vfs.FS, path string, whole []byte) error {
	f, err := fsys.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(bytes.Clone(whole), 0)
	return errors.Join(err, f.Close())
}

// needed says whether a start reads a file: it does not read the manifest
// before the last.
func (sp *specimen) needed(name string) bool {
	if kindOf(name) != "MANIFEST" {
		return true
	}
	for marker := range sp.files {
		if strings.HasPrefix(marker, "marker.manifest.") && strings.HasSuffix(marker, "."+name) {
			return true
		}
	}
	return false
}

// judgeFlip says what is wrong with what a start made of a file that is not what
// it was from a place on.
func (sp *specimen) judgeFlip(name string, at int, f found, stage stage, what string) error {
	switch {
	case stage == silent:
		return fmt.Errorf("%s, and something else was read: %w", what, f.err)
	case stage == inWindow && (name != sp.log() || !atLeast(f.units, sp.proven) || !atLeast(f.units, sp.whole(name, at))):
		return fmt.Errorf("%s, and %v of %v units were opened, with %v before that place and proof of %v", what, f.units, sp.units, sp.whole(name, at), sp.proven)
	case (stage == refusedAtOpen || stage == refusedAtRead) && !errors.Is(f.err, store.ErrCorrupt):
		return fmt.Errorf("%s, and the refusal does not say so: %w", what, f.err)
	}
	return nil
}

func (c *flipCounts) report() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%-10s %8s %16s %16s %9s %14s\n", "", "flipped", "refused at open", "refused at read", "harmless", "in the window")
	kinds := make([]string, 0, len(c.byKind))
	for kind := range c.byKind {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		n := c.byKind[kind]
		_, _ = fmt.Fprintf(&b, "%-10s %8d %16d %16d %9d %14d\n", kind, n[0]+n[1]+n[2]+n[3]+n[4], n[refusedAtOpen], n[refusedAtRead], n[opened], n[inWindow])
	}
	return b.String()
}

// FAULTS 12: a file of the store is not there. Without it the store is refused,
// or has everything.
func TestMissingFile(t *testing.T) {
	t.Parallel()
	sp := aged(t, true)
	refused := 0
	for name := range sp.files {
		disk, err := sp.disk("", nil)
		if err == nil {
			err = disk.Remove("data/" + name)
		}
		if err != nil {
			t.Fatal(err)
		}
		f := sp.look(disk, cutOptions(t, nil))
		stage := f.stage
		if stage == opened && sp.missing(f.units) > 0 {
			stage = inWindow
		}
		if err := sp.judgeFlip(name, 0, f, stage, name+" was removed"); err != nil {
			t.Error(err)
		}
		if stage != opened {
			refused++
		}
		// Where nothing says which files count, they are all left as they are.
		if strings.HasPrefix(name, "marker.manifest.") || name == markName {
			if err := put(disk, "data/"+name, sp.files[name]); err != nil {
				t.Fatal(err)
			}
			if f := sp.look(disk, cutOptions(t, nil)); f.stage != opened || sp.missing(f.units) > 0 {
				t.Errorf("%s was removed and put back: %v of %v units, %v", name, f.units, sp.units, f.err)
			}
		}
	}
	if refused < 4 {
		t.Errorf("only %d of %d files were needed", refused, len(sp.files))
	}
}
