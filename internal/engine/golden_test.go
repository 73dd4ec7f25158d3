package engine_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	db "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/pebble"
)

var update = flag.Bool("update", false, "write the golden directories that are not there, and say anew what is in all of them; see golden_test.go")

// The golden directories: what a process that died left behind, with rows of
// every kind, in each version of the formats that was ever written.
//
//	v1             our formats 1, in the formats that Pebble had then
//	v1-pebble-013  the same rows in the oldest formats that Pebble still reads
//	v1-pebble-019  ... and in those in between
//	contents.txt   what there is in them, and what becomes of it
//	v1-doubts      our formats 1, of which resolutions have more fields
//	doubts.txt     what there is in it, and what becomes of it
//	v1-promises    our formats 1, with phases of transactions, promises and withdrawals
//	promises.txt   what there is in it, and what becomes of it
//
// A change of our formats adds a directory, and the old ones stay as they are:
//
//	go test ./internal/engine -run '^TestGolden$' -update
const goldenDir = "testdata/golden"

// A scene is a script that golden directories were made by, and what it comes
// to in the end.
type scene struct {
	versions []string // the first was written by the script, and the others from it
	contents string
	make     func(*testing.T, *vfs.MemFS) (left *vfs.MemFS, between engine.Position)
	changed  int               // agents that changed after that position of the feed
	rests    func(golden) bool // all that a guest lets happen has happened
	goOn     func(golden)      // what is done two hours later
	over     func(golden) bool // nothing is under way any more
}

var scenes = []*scene{&everyday, &doubts, &promises}

var everyday = scene{
	versions: []string{"v1", "v1-pebble-013", "v1-pebble-019"},
	contents: "contents.txt",
	make:     makeGolden,
	changed:  6,
	rests:    func(golden) bool { return true },
	goOn: func(g golden) {
		g.does("held", "release", "release", deed{What: "token"}, false)
		if a := g.does("alice", "note", "note-alice-1", deed{What: "1"}, false); !a.Replayed {
			g.Error("a repeated call is not replayed")
		}
	},
	over: func(g golden) bool {
		return g.idle() && g.e.Stats().Dead == 2 &&
			strings.Contains(g.state("alice"), "tick soon") && strings.Contains(g.state("held"), "given parked") &&
			strings.Contains(g.state(sameShard("alice", "far", false)), "note soon")
	},
}

// onDisk is a copy of a golden directory, in memory.
func onDisk(t *testing.T, version string) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewMem()
	copyDir(t, vfs.Default, disk, filepath.Join(goldenDir, version))
	return disk
}

// FAULTS 7: every version that was ever written is read, whole, and goes on.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, s := range scenes {
		if *update {
			s.write(t)
		}
		want, between := s.read(t)
		for _, version := range s.versions {
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				if got := s.play(t, version, between); !bytes.Equal(got, want) {
					t.Errorf("%s has other contents than %s:\n%s", version, s.contents, firstDifference(string(got), string(want)))
				}
			})
		}
	}
}

// Rows of every kind are in one of the directories.
func TestGoldenHasEveryKind(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for _, s := range scenes {
		rows, err := readGoldenRows(onDisk(t, s.versions[0]))
		if err != nil {
			t.Fatal(err)
		}
		for kind, n := range rows.count() {
			count[kind] += n
		}
	}
	for table := message.Table(1); table < message.Tables; table++ {
		kinds := rowKinds[table]
		if kinds == nil {
			kinds = []string{""}
		}
		for _, kind := range kinds {
			kind = strings.TrimSpace(tableNames[table] + " " + kind)
			if count[kind] == 0 {
				t.Errorf("there is no row of the kind %q in any golden directory", kind)
			}
			delete(count, kind)
		}
	}
	if len(count) > 0 {
		t.Errorf("there are rows of other kinds: %v", count)
	}
}

// read reads what the directories are to have, and where the feed was.
func (s *scene) read(t *testing.T) (contents []byte, between engine.Position) {
	t.Helper()
	contents, err := os.ReadFile(filepath.Join(goldenDir, s.contents))
	if err == nil && s.changed > 0 {
		_, err = fmt.Sscanf(string(contents), "feed position %s", &between)
	}
	if err != nil {
		t.Fatal(err)
	}
	return contents, between
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nand was\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("it has %d lines, and had %d", len(g), len(w))
}

// play opens copies of a directory and writes down what is in it: the rows, what
// a guest sees, and where everything ends that was under way.
func (s *scene) play(t *testing.T, version string, between engine.Position) []byte {
	t.Helper()
	var b bytes.Buffer
	if s.changed > 0 {
		_, _ = fmt.Fprintf(&b, "feed position %s\n\n", between)
	}
	b.WriteString("== rows\n\n")
	rows, err := readGoldenRows(onDisk(t, version))
	if err != nil {
		t.Fatal(err)
	}
	rows.describe(&b)
	rows.resolutions(t, &b)

	b.WriteString("\n== as it was left\n")
	notAgain := func() error {
		t.Error("what killed the process runs again")
		return errors.New("it lives")
	}
	g := openGolden(t, onDisk(t, version), life{now: goldenDied, guest: true, dies: notAgain})
	g.await(s.rests)
	g.dump(&b)
	if s.changed > 0 {
		g.dumpFeed(&b, between, s.changed)
	}
	g.close()

	b.WriteString("\n== two hours later\n")
	disk := onDisk(t, version)
	g = openGolden(t, disk, life{now: goldenLater, dies: notAgain, hangs: func() { t.Error("what was started before the crash is called again") }})
	s.goOn(g)
	g.await(func(g golden) bool {
		g.settleDoubts()
		return s.over(g)
	})
	g.dump(&b)
	g.close()
	if rows, err = readGoldenRows(disk); err != nil {
		t.Fatal(err)
	}
	rows.resolutions(t, &b)
	return b.Bytes()
}

// goldenPatience is long for what takes milliseconds, on any machine.
const goldenPatience = 30 * time.Second

// await waits until something is so.
func (g golden) await(so func(golden) bool) {
	g.Helper()
	for deadline := time.Now().Add(goldenPatience); !so(g); runtime.Gosched() {
		if g.Failed() || time.Now().After(deadline) {
			g.Fatalf("it does not come to its end: %+v", g.e.Stats())
		}
	}
}

// settleDoubts says of every effect in doubt that it was done.
func (g golden) settleDoubts() {
	g.Helper()
	for e, err := range g.e.Effects(g.Context(), "") {
		if err != nil {
			g.Fatal(err)
		}
		if !e.InDoubt {
			continue // it is under way
		}
		a := g.e.Resolve(g.Context(), e.ID, core.Resolution{Status: message.StatusDone, Body: []byte(`"by hand"`), By: "judge"})
		if f := a.Fault; f != nil && f.Code != message.CodeAlreadyResolved && f.Code != message.CodeUnknownDoubt {
			g.Fatal(f) // it is no longer in doubt
		}
	}
}

// idle says whether no effect and no message is under way.
func (g golden) idle() bool {
	s := g.e.Stats()
	return s.Effects == 0 && s.OutboxLag == 0 && s.QueueLength == 0 && s.CallsInFlight == 0
}

// FAULTS 7: what a newer version wrote is refused, the refusal says so, and
// nothing is changed.
func TestGoldenOfANewerVersion(t *testing.T) {
	t.Parallel()
	disk := onDisk(t, "v1")
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.format-version.") {
			if err := disk.Rename("data/"+name, "data/marker.format-version.000099.099"); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := filesOf(t, disk)
	for range 2 {
		_, err := readGoldenRows(disk)
		if err == nil || !strings.Contains(err.Error(), "newer version; run that one") || !strings.Contains(err.Error(), "99") {
			t.Errorf("a database of formats to come: %v", err)
		}
	}
	if !maps.Equal(filesOf(t, disk), before) {
		t.Error("the directory was changed, though it was refused")
	}
}

// filesOf is what is in the files of a store; that it was locked changes nothing.
func filesOf(t *testing.T, fsys vfs.FS) map[string]string {
	t.Helper()
	names, err := fsys.List("data")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		f, err := fsys.Open("data/" + name)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		files[name] = string(content)
	}
	return files
}

// write makes the directories, unless they are there, and writes down what is in
// them.
func (s *scene) write(t *testing.T) {
	t.Helper()
	var between engine.Position
	if _, err := os.Stat(filepath.Join(goldenDir, s.versions[0])); err == nil {
		_, between = s.read(t)
	} else {
		var left *vfs.MemFS
		left, between = s.make(t, vfs.NewMem())
		saveGolden(t, left, s.versions[0])
		for _, version := range s.versions[1:] {
			saveGolden(t, inOlderFormat(t, onDisk(t, s.versions[0]), olderFormats[version]), version)
		}
	}
	if err := os.WriteFile(filepath.Join(goldenDir, s.contents), s.play(t, s.versions[0], between), 0o644); err != nil {
		t.Fatal(err)
	}
}

var olderFormats = map[string]db.FormatMajorVersion{
	"v1-pebble-013": db.FormatFlushableIngest, "v1-pebble-019": db.FormatColumnarBlocks,
}

// saveGolden writes the directory that is in memory, as it is at this moment.
func saveGolden(t *testing.T, mem vfs.FS, version string) {
	t.Helper()
	dir := filepath.Join(goldenDir, version)
	names, err := mem.List("data")
	err = errors.Join(err, os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		err = errors.Join(err, vfs.CopyAcrossFS(mem, "data/"+name, vfs.Default, filepath.Join(dir, name)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// silence is a log of Pebble's in which only the worst is heard.
type silence struct{ t *testing.T }

func (silence) Infof(string, ...any)                {}
func (silence) Errorf(string, ...any)               {}
func (s silence) Fatalf(format string, args ...any) { s.t.Errorf(format, args...) }

// rowsInTable is about half of the rows there are.
const rowsInTable = 60

// inOlderFormat makes a database with the same rows in an older format of
// Pebble's: half of them in a table, and half in the log of a process that died.
func inOlderFormat(t *testing.T, from *vfs.MemFS, format db.FormatMajorVersion) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	open := func(fsys vfs.FS, format db.FormatMajorVersion) *db.DB {
		tuning := pebble.Tuning(goldenStore(fsys))
		tuning.Logger = silence{t}
		if format != 0 {
			tuning.FormatMajorVersion = format
		}
		d, err := db.Open("data", tuning)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	old, source := open(to, format), open(from, 0)
	it, err := source.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if err := old.Set(it.Key(), it.Value(), db.Sync); err != nil {
			t.Fatal(err)
		}
		if n++; n == rowsInTable {
			if err := old.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(it.Close(), source.Close(), vfs.CopyAcrossFS(vfs.Default, filepath.Join(goldenDir, "v1", "SEMEL"), to, "data/SEMEL")); err != nil {
		t.Fatal(err)
	}
	copied := vfs.NewMem()
	copyDir(t, to, copied, "data")
	return copied
}
