package pebble

import (
	"testing"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
)

// FAULTS 22, 26: the epoch that a session is opened with is durable before the
// session begins, though it never commits: else a crash would let the next one
// have the same epoch, and what the first began would pass for the second's.
func TestRaisedEpochIsDurable(t *testing.T) {
	t.Parallel()
	disk := crashfs.New()
	m := &machine{opt: testOptions(t, disk)}
	m.opt.Shards = 2
	var last message.Epoch
	for life := range 5 {
		st := mustOpen(t, m)
		for range 2 {
			epoch := own(t, st, 1).at.Epoch
			if epoch <= last {
				t.Fatalf("in life %d a session has epoch %d, and one before it had %d", life, epoch, last)
			}
			last = epoch
		}
		disk = disk.Crash(0, 1) // nothing of what was not synced is kept
		m.opt.FS = disk
	}
}
