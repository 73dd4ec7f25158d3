package pebble

import (
	"bytes"
	"errors"
	"testing"

	"github.com/semel-dev/semel/store"
)

// Whatever happens to the log of a store that died, a start does not panic: it
// refuses, or finds the first units of each shard, whole, and no fewer than
// there is proof of, or than stand before the damage. The log is cut, and bytes
// in it become others.
func FuzzDamagedLog(f *testing.F) {
	sp := new(specimen)
	f.Add(uint16(0), uint16(0), []byte{})
	f.Add(uint16(3000), uint16(100), []byte{0, 0, 0, 0})
	f.Add(uint16(65535), uint16(7), []byte{0xff})
	f.Add(uint16(9000), uint16(8000), bytes.Repeat([]byte{7}, 600))
	f.Fuzz(func(t *testing.T, cut, at uint16, noise []byte) {
		if sp.files == nil {
			sp = running(t, logBytes/4, (*Store).writeWatermark)
		}
		log := sp.log()
		bad := bytes.Clone(sp.files[log])
		bad = bad[:min(int(cut), len(bad))]
		good := len(bad)
		for i := range noise {
			if p := int(at) + i; p < len(bad) && noise[i] != 0 {
				bad[p] ^= noise[i]
				good = min(good, p)
			}
		}
		disk, err := sp.disk(log, bad)
		if err != nil {
			t.Fatal(err)
		}
		switch got := sp.look(disk, cutOptions(t, nil)); {
		case got.stage == silent:
			t.Error(got.err)
		case got.stage == opened && !(atLeast(got.units, sp.proven) && atLeast(got.units, sp.whole(log, good))):
			t.Errorf("%v units were opened, of %v before the damage, and there is proof of %v", got.units, sp.whole(log, good), sp.proven)
		case got.stage != opened && !errors.Is(got.err, store.ErrCorrupt):
			t.Errorf("the refusal does not say what is wrong: %v", got.err)
		}
	})
}
