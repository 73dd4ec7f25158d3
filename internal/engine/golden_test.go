package engine_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
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

var update = flag.Bool("update", false, "write the golden directories, which must not be there; see golden_test.go")

// The golden directories: what a process that died left behind, with rows of
// every kind, in each version of the formats that was ever written.
//
//	v1             our formats 1, in the formats that Pebble had then
//	v1-pebble-013  the same rows in the oldest formats that Pebble still reads
//	v1-pebble-019  ... and in those in between
//	contents.txt   what there is in them, and what becomes of it
//
// A change of our formats adds a directory, and the old ones stay as they are:
//
//	go test ./internal/engine -run '^TestGolden$' -update
const goldenDir = "testdata/golden"

var goldenVersions = []string{"v1", "v1-pebble-013", "v1-pebble-019"}

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
	if *update {
		writeGolden(t)
	}
	want, err := os.ReadFile(filepath.Join(goldenDir, "contents.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range goldenVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var between engine.Position
			if _, err := fmt.Sscanf(string(want), "feed position %s", &between); err != nil {
				t.Fatal(err)
			}
			if got := goldenContents(t, version, between); !bytes.Equal(got, want) {
				t.Errorf("%s has other contents than contents.txt:\n%s", version, firstDifference(string(got), string(want)))
			}
		})
	}
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

// goldenContents opens copies of a directory and writes down what is in it: the
// rows, what a guest sees, and where everything ends that was under way.
func goldenContents(t *testing.T, version string, between engine.Position) []byte {
	t.Helper()
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "feed position %s\n\n== rows\n\n", between)
	rows, err := readGoldenRows(onDisk(t, version))
	if err != nil {
		t.Fatal(err)
	}
	rows.describe(&b)
	for _, name := range tableNames[1:] {
		if !strings.Contains(b.String(), name+" ") || strings.Contains(b.String(), fmt.Sprintf("%-8s 0\n", name)) {
			t.Errorf("there is no row of table %s: the directory does not have rows of every kind", name)
		}
	}

	b.WriteString("\n== as it was left\n")
	g := openGolden(t, onDisk(t, version), goldenDied, true, nil)
	g.dump(&b)
	g.dumpFeed(&b, between, 6)
	g.close()

	b.WriteString("\n== two hours later\n")
	g = openGolden(t, onDisk(t, version), goldenLater, false, func() { t.Error("what was started before the crash is called again") })
	g.does("held", "release", "release", deed{What: "token"}, false)
	if a := g.does("alice", "note", "note-alice-1", deed{What: "1"}, false); !a.Replayed {
		t.Error("a repeated call is not replayed")
	}
	for deadline := time.Now().Add(patience); !g.over(); g.settleDoubts() {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to its end: %+v", g.e.Stats())
		}
	}
	g.dump(&b)
	g.close()
	return b.Bytes()
}

// settleDoubts says of every effect in doubt that it was done.
func (g golden) settleDoubts() {
	g.Helper()
	runtime.Gosched()
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

// over says whether nothing is under way any more.
func (g golden) over() bool {
	s := g.e.Stats()
	return s.Effects == 0 && s.OutboxLag == 0 && s.QueueLength == 0 && s.CallsInFlight == 0 && s.Dead == 2 &&
		strings.Contains(g.state("alice"), "tick soon") && strings.Contains(g.state("held"), "given parked") &&
		strings.Contains(g.state(sameShard("alice", "far", false)), "note soon")
}

// FAULTS 7: what a newer version wrote is refused, and the refusal says so.
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
	for range 2 {
		_, err := readGoldenRows(disk)
		if err == nil || !strings.Contains(err.Error(), "newer version; run that one") || !strings.Contains(err.Error(), "99") {
			t.Errorf("a database of formats to come: %v", err)
		}
	}
}

// writeGolden makes the directories and writes down what is in them.
func writeGolden(t *testing.T) {
	t.Helper()
	for _, version := range goldenVersions {
		if _, err := os.Stat(filepath.Join(goldenDir, version)); err == nil {
			t.Fatalf("%s is there already, and what was written is never changed; make a directory for the new version beside it", version)
		}
	}
	mem := vfs.NewMem()
	between := makeGolden(t, mem)
	saveGolden(t, mem, "v1")
	for version, format := range map[string]db.FormatMajorVersion{
		"v1-pebble-013": db.FormatFlushableIngest, "v1-pebble-019": db.FormatColumnarBlocks,
	} {
		saveGolden(t, inOlderFormat(t, onDisk(t, "v1"), format), version)
	}
	if err := os.WriteFile(filepath.Join(goldenDir, "contents.txt"), goldenContents(t, "v1", between), 0o644); err != nil {
		t.Fatal(err)
	}
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
