package pebble

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// wantError checks an error's kind, nil for no kind of ours, and its words.
func wantError(t *testing.T, what string, err, kind error, words ...string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s: %v, want an error that is %v", what, err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error does not say %q: %v", what, w, err)
		}
	}
}

func openError(t *testing.T, o store.Opener) error {
	t.Helper()
	st, err := o.OpenStore(background)
	if err == nil {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	return err
}

func writeFile(t *testing.T, fsys vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		// A copy: with the race detector on, the file system scribbles on what it wrote.
		_, err = f.Write(append([]byte(nil), data...))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, fsys vfs.FS, path string) []byte {
	t.Helper()
	f, err := fsys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestShardsAreForEver(t *testing.T) {
	t.Parallel()
	m := &machine{opt: testOptions(t, vfs.NewMem())}
	m.opt.Shards = 3
	mustClose(t, mustOpen(t, m))
	m.opt.Shards = 4
	wantError(t, "another number of shards", openError(t, m), nil, "data", "3 shards", "ask for 4")
	m.opt.Shards = 0
	st := mustOpen(t, m)
	if st.Shards() != 3 {
		t.Errorf("the store has %d shards, want 3", st.Shards())
	}
	mustClose(t, st)
	m.opt.Shards = 1<<16 + 1
	wantError(t, "too many shards", openError(t, m), nil, "65537")
	wantError(t, "two options", openError(t, At("data", m.opt, m.opt)), nil, "more than one")
	wantError(t, "no directory", openError(t, At("", testOptions(t, vfs.NewMem()))), nil, "no directory")
}

func TestNotAStore(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, fsys, "data/letters.txt", []byte("dear all"))
	m := &machine{opt: testOptions(t, fsys)}
	wantError(t, "a directory of something else", openError(t, m), nil, "data", "not a store", "letters.txt")
	if got := string(readFile(t, fsys, "data/letters.txt")); got != "dear all" {
		t.Errorf("the file says %q", got)
	}
	if err := fsys.Remove("data/letters.txt"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, m)) // empty by now, but for a lock

	db, err := pebble.Open("other", &pebble.Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, "another program's database", openError(t, At("other", m.opt)), nil, "no file SEMEL")
}

// FAULTS 15, with a process of its own: this test binary, run again.
func TestSecondProcess(t *testing.T) {
	const variable = "SEMEL_TEST_LOCK_DIR"
	if dir := os.Getenv(variable); dir != "" {
		wantError(t, "the second process", openError(t, At(dir)), store.ErrLocked, dir, "stop the process")
		return
	}
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	st := mustOpen(t, At(dir, testOptions(t, nil)))
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondProcess$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestSecondProcess") {
		t.Errorf("the second process: %v\n%s", err, out)
	}
	// By another name it is the same directory, and the same lock.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	wantError(t, "by a symbolic link", openError(t, At(link, testOptions(t, nil))), store.ErrLocked)
	if _, err := own(t, st, 0).Get(background, nil); err != nil {
		t.Errorf("the first process suffers: %v", err)
	}
	mustClose(t, st)
}

// FAULTS 59: a row of the store's own that is not what was written is an error
// that names it.
func TestGarbageInOwnRows(t *testing.T) {
	t.Parallel()
	version := func(v message.Version) []byte {
		key, value := make([]byte, versionKeyLen), make([]byte, versionSize+sealSize)
		putVersion(key, value, 2, v)
		return value
	}
	good := version(message.Version{Epoch: 9, Seq: 9})
	flipped := append([]byte(nil), good...)
	flipped[3] ^= 0x10
	newer := seal(headerKey, []byte{headerFormat + 1, 1, 2, 3})
	for _, c := range []struct {
		name  string
		key   []byte
		value []byte
		kind  error
		words []string
	}{
		{"a missing header", headerKey, nil, store.ErrCorrupt, []string{"header row is missing"}},
		{"an empty header", headerKey, []byte{}, store.ErrCorrupt, []string{"header row"}},
		{"a header of noise", headerKey, []byte("noise, and long enough to be a header"), store.ErrCorrupt, []string{"header row", "checksum"}},
		{"a header of no shards", headerKey, header{}.encode(), store.ErrCorrupt, []string{"header row", "0 shards"}},
		{"another store's header", headerKey, header{shards: 4}.encode(), store.ErrCorrupt, []string{"mixes two stores"}},
		{"a header to come", headerKey, newer, nil, []string{"newer version"}},
		{"a missing version", versionKey(2), nil, store.ErrCorrupt, []string{"shard 2", "missing"}},
		{"a flipped bit in a version", versionKey(2), flipped, store.ErrCorrupt, []string{"version row of shard 2", "checksum"}},
		{"a short version", versionKey(2), good[:7], store.ErrCorrupt, []string{"version row of shard 2"}},
		{"a version in the wrong place", versionKey(3), good, store.ErrCorrupt, []string{"version row of shard 3"}},
		{"an older version", versionKey(2), version(message.Version{Epoch: 1, Seq: 1}), store.ErrCorrupt, []string{"shard 2", "1 units are missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &machine{opt: testOptions(t, vfs.NewMem())}
			m.opt.Shards = 4 // whatever the machine has
			st := mustOpen(t, m)
			o := own(t, st, 2)
			for range 2 {
				if err := o.submit(1).Wait(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if c.value == nil {
				err = st.db.Delete(c.key, pebble.Sync)
			} else {
				err = st.db.Set(c.key, c.value, pebble.Sync)
			}
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, st)
			wantError(t, c.name, openError(t, m), c.kind, append(c.words, "data")...)
			// Refusing leaves nothing behind: the answer stays the same.
			wantError(t, c.name+", again", openError(t, m), c.kind, c.words...)
		})
	}
}

func TestGarbageInMark(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	m := &machine{opt: testOptions(t, fsys)}
	mustClose(t, mustOpen(t, m))
	good := readFile(t, fsys, "data/SEMEL")
	reseal := func(change func(b []byte)) []byte {
		b := append([]byte(nil), good[:len(good)-sealSize]...)
		change(b)
		return seal([]byte(markName), b)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		writeFile(t, fsys, "data/SEMEL", bad)
		wantError(t, "a flipped bit", openError(t, m), store.ErrCorrupt, "SEMEL")
		writeFile(t, fsys, "data/SEMEL", good[:i])
		wantError(t, "a cut file", openError(t, m), store.ErrCorrupt, "SEMEL")
	}
	writeFile(t, fsys, "data/SEMEL", reseal(func(b []byte) { b[0]++ }))
	wantError(t, "a newer format", openError(t, m), nil, "SEMEL", "newer version")
	writeFile(t, fsys, "data/SEMEL", reseal(func(b []byte) { b[1] = byte(stateEnd) }))
	wantError(t, "an impossible state", openError(t, m), store.ErrCorrupt, "SEMEL")
	writeFile(t, fsys, "data/SEMEL", reseal(func(b []byte) { b[5]++ }))
	wantError(t, "another incarnation", openError(t, m), store.ErrCorrupt, "SEMEL", "mixes two stores")
	writeFile(t, fsys, "data/SEMEL", reseal(func(b []byte) { b[1] = byte(stateRestoring) }))
	wantError(t, "a restore that did not end", openError(t, m), nil, "restore again")
	if err := fsys.Remove("data/SEMEL"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "no mark", openError(t, m), store.ErrCorrupt, "no file SEMEL")
	writeFile(t, fsys, "data/SEMEL", good)
	st := mustOpen(t, m)
	if !st.CleanStart() {
		t.Error("with its mark back, the store does not start clean")
	}
	mustClose(t, st)
}

// FAULTS 12: a flipped bit in one of Pebble's files is refused or read back as
// an error, and never served.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	m := &machine{opt: testOptions(t, fsys)}
	m.opt.Shards, m.opt.MemTableBytes = 1, 64<<10
	st := mustOpen(t, m)
	o := own(t, st, 0)
	for range 40 {
		if err := o.submit(5000).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, st)
	names, err := fsys.List("data")
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for _, name := range names {
		path := "data/" + name
		whole := readFile(t, fsys, path)
		if name == "LOCK" || strings.HasPrefix(name, "OPTIONS") || strings.HasPrefix(name, "marker.") || len(whole) == 0 {
			continue
		}
		for _, at := range []int{len(whole) / 3, len(whole) / 2} {
			clone := fsys.Crash(0, 1)
			bad := append([]byte(nil), whole...)
			bad[at] ^= 0x40
			writeFile(t, clone, path, bad)
			opt := testOptions(t, clone)
			opt.Fatal = func(error) {}
			flips++
			// Nothing was lost, so the shard must verify whole, or not at all.
			err := func() error {
				s, err := At("data", opt).OpenStore(background)
				if err != nil {
					return err
				}
				defer func() { _ = s.Close() }()
				session, err := s.Open(background, 0, "test")
				if err != nil {
					return err
				}
				return verify(session, o.at.Seq)
			}()
			// Where it was refused, Pebble is left as it is, and reads the table
			// for its statistics again and again until that succeeds.
			writeFile(t, clone, path, whole)
			if err != nil && !errors.Is(err, store.ErrCorrupt) && !strings.Contains(err.Error(), "checksum") {
				t.Errorf("a flipped bit at %d of %s: %v, want it whole or ErrCorrupt", at, name, err)
			}
		}
	}
	if flips < 6 {
		t.Errorf("only %d bits were flipped", flips)
	}
}
