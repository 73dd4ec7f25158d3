package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/semel-dev/semel/internal/sim/crashfs"
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
