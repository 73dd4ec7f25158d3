package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 11: a sector in the log is not what was written, with others behind it
// that say up to where the log had been synced.
func TestHoleInLog(t *testing.T) {
	t.Parallel()
	const sector = 512
	sp := running(t, logBytes, (*Store).writeWatermark)
	log := sp.log()
	whole := sp.files[log]
	step, holes, refused := crashfs.Every(4*sector, 16*sector), 0, 0
	if crashfs.Soak {
		step = sector / 8
	}
	for at := 0; at < len(whole); at += step {
		end := min(at+sector, len(whole))
		bad := bytes.Clone(whole)
		clear(bad[at:end])
		if bytes.Equal(bad, whole) {
			continue
		}
		disk, err := sp.disk(log, bad)
		if err != nil {
			t.Fatal(err)
		}
		f := sp.look(disk, cutOptions(t, nil))
		holes++
		switch kept := sp.whole(log, at); {
		case f.stage == refusedAtOpen && errors.Is(f.err, store.ErrCorrupt):
			refused++
		case f.stage == opened && f.units == kept && atLeast(kept, sp.marked) && syncedBehind(bad, end) <= at:
		default:
			t.Errorf("with bytes %d to %d of %d lost (%v units are before them, and behind them it says that %d bytes were synced) a start found %v, %v",
				at, end, len(whole), kept, syncedBehind(bad, end), f.units, f.err)
		}
	}
	if refused < holes*9/10 {
		t.Errorf("only %d of %d holes were refused", refused, holes)
	}
	t.Logf("%s of %d bytes lost a sector at %d places: %d were refused, %d had the units before it and nothing behind it tells", log, len(whole), holes, refused, holes-refused)
}

// The log of a new store and that of an upgraded one say from the beginning up
// to where they were synced, though Pebble opened one in an older format first.
func TestFirstLogSaysWhatWasSynced(t *testing.T) {
	t.Parallel()
	const syncedChunk = 9 // the first of Pebble's chunk types that do
	for _, format := range []pebble.FormatMajorVersion{0, pebble.FormatFlushableIngest, pebble.FormatColumnarBlocks} {
		fsys := vfs.NewMem()
		if format != 0 {
			oldStore(t, fsys, format)
		}
		w := new(specimen).write(t, openQuiet(t, cutOptions(t, fsys)))
		w.next(0)
		name, _ := w.log()
		if log := readFile(t, fsys, "data/"+name); log[6] < syncedChunk {
			t.Errorf("from format %d: the log begins with a chunk of type %d, which does not say what was synced", format, log[6])
		}
		mustClose(t, w.st)
	}
}

// oldStore is an empty store in an older format of Pebble's.
func oldStore(t *testing.T, fsys vfs.FS, format pebble.FormatMajorVersion) {
	t.Helper()
	opt := cutOptions(t, fsys)
	tuning := Tuning(opt)
	tuning.FormatMajorVersion = format
	tuning.Logger = logger{log: opt.Logger, fail: func(err error) error { t.Error(err); return err }}
	db, err := pebble.Open("data", tuning)
	if err != nil {
		t.Fatal(err)
	}
	head := header{incarnation: message.Incarnation{1}, shards: crashShards, created: time.Unix(1, 0)}
	m := mark{state: stateClosed, incarnation: head.incarnation, versions: make([]message.Version, crashShards)}
	if err := errors.Join(db.Set(headerKey, head.encode(), pebble.Sync), db.Close(), writeMark(fsys, "data", m)); err != nil {
		t.Fatal(err)
	}
}

// syncedBehind is up to where a log had been synced, as its chunks say that
// begin in the first block after a place, which is where Pebble looks: they
// have a header of
//
//	[CRC 4][length 2][type 1][log 4][synced 8]
func syncedBehind(log []byte, place int) (synced int) {
	const block, header = 32 << 10, 19
	for start := (place/block + 1) * block; start < len(log); start += block {
		for at := start; at+header <= min(len(log), start+block) && log[at+6] != 0; {
			synced = max(synced, int(binary.LittleEndian.Uint64(log[at+11:])))
			at += header + int(binary.LittleEndian.Uint16(log[at+4:]))
		}
	}
	return synced
}
