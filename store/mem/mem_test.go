package mem_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Make: func(_ testing.TB, shards int) storetest.Place {
		d := mem.New(mem.Shards(shards))
		return storetest.Place{
			Opener:  d,
			Kill:    func(testing.TB) { d.Crash(1 << 30) }, // a process dies, and the page cache lives on
			Restore: func(testing.TB, store.Store) store.Opener { return d.Backup() },
		}
	}})
}

// The same laws hold where many have the disk open.
func TestSharedStore(t *testing.T) {
	differs := storetest.Differences{
		NoBackup:     "the disk's copy is not told from it here",
		NotLocked:    "it is shared",
		NoCleanStart: "a claim says it of a shard",
	}
	storetest.Run(t, storetest.Harness{Differs: differs, Make: func(_ testing.TB, shards int) storetest.Place {
		now := new(atomic.Int64)
		d := mem.New(mem.Shards(shards), mem.Shared(time.Minute, func() time.Time { return time.Unix(now.Load(), 0) }))
		return storetest.Place{Opener: d, Kill: func(testing.TB) { d.Crash(1 << 30) }, Lapse: func(_ testing.TB, node string) { d.Lapse(node) }}
	}})
}
