package pebble

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 11: data that was synced and is gone is noticed. Pebble opens an older
// copy of its own files without a word; the watermark knows better.
func TestWatermarkTellsOfLoss(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	m := &machine{opt: testOptions(t, fsys)}
	st := mustOpen(t, m)
	o := own(t, st, 1)
	if err := o.submit(10).Wait(); err != nil {
		t.Fatal(err)
	}
	older := fsys.Crash(0, 1)
	for range 5 {
		if err := o.submit(10).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, st)
	// The device lost the last writes of everything but the mark.
	writeFile(t, older, "data/SEMEL", readFile(t, fsys, "data/SEMEL"))
	m.opt = testOptions(t, older)
	err := openError(t, m)
	wantError(t, "a lost tail", err, store.ErrCorrupt, "shard 1", "unit 1 ", "unit 6 ", "5 units are missing", "restore a backup")
	wantError(t, "a lost tail, again", openError(t, m), store.ErrCorrupt)
}

// The watermark follows the commits without being asked, and what it says is
// never more than what was acknowledged.
func TestWatermarkFollows(t *testing.T) {
	t.Parallel()
	writes := make(chan message.Version, 100)
	var d durable
	w := newWatermark(time.Nanosecond, func() error { writes <- d.load(); return nil })
	go w.run()
	for seq := message.Seq(1); seq <= 3; seq++ {
		d.raise(message.Version{Epoch: 7, Seq: seq})
		w.touch()
		w.touch()
		for got := range writes {
			if got.Seq > seq || got.Epoch != 7 {
				t.Fatalf("the watermark says %+v after unit %d", got, seq)
			}
			if got.Seq == seq {
				break
			}
		}
	}
	w.close()
	w.touch() // harmless once it is closed
	w.touch()

	var raised durable
	raised.raise(message.Version{Epoch: 2, Seq: 9})
	raised.raise(message.Version{Epoch: 2, Seq: 8})
	if got := raised.load(); got.Seq != 9 {
		t.Errorf("the watermark went back to %+v", got)
	}
}

func TestMarkRoundTrip(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	want := mark{state: stateRunning, incarnation: message.Incarnation{1, 15: 2}, versions: []message.Version{{Epoch: 1, Seq: 2}, {}, {Epoch: 3, Seq: ^message.Seq(0)}}}
	if _, found, err := readMark(fsys, ""); found || err != nil {
		t.Errorf("without a mark: %v, %v", found, err)
	}
	for range 2 {
		if err := writeMark(fsys, "", want); err != nil {
			t.Fatal(err)
		}
	}
	got, found, err := readMark(fsys, "")
	if err != nil || !found {
		t.Fatalf("readMark: %v, %v", found, err)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(mark{})); d != "" {
		t.Error(d)
	}
}

// No bytes make a decoder panic, and what it accepts it would write again.
func FuzzDecode(f *testing.F) {
	f.Add(mark{state: stateClosed, versions: make([]message.Version, 3)}.encode())
	f.Add(header{shards: 4, created: time.Unix(1, 0)}.encode())
	value := make([]byte, versionSize+sealSize)
	putVersion(make([]byte, versionKeyLen), value, 1, message.Version{Epoch: 3, Seq: 4})
	f.Add(value)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		// As they are, and with the checksum made good, which no fuzzer guesses.
		for _, place := range [][]byte{nil, []byte(markName), headerKey, versionKey(1)} {
			in := b
			if place != nil {
				in = seal(place, append([]byte(nil), b...))
			}
			if m, err := parseMark("the mark", in); err == nil && string(m.encode()) != string(in) {
				t.Errorf("mark %x is read as %+v", in, m)
			}
			if h, err := parseHeader(in); err == nil && string(h.encode()) != string(in) {
				t.Errorf("header %x is read as %+v", in, h)
			}
			if v, err := parseVersion(1, in); err == nil {
				out := make([]byte, versionSize+sealSize)
				putVersion(make([]byte, versionKeyLen), out, 1, v)
				if string(out) != string(in) {
					t.Errorf("version %x is read as %+v", in, v)
				}
			}
		}
	})
}
