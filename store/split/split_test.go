package split_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/store/split"
	"github.com/semel-dev/semel/store/storetest"
)

var background = context.Background()

// alternate divides shards so that neighbours are in different parts, as long as
// there are two.
func alternate(shards int) (a, b []message.Shard) {
	for s := range message.Shard(shards) {
		if s%2 == 0 {
			a = append(a, s)
		} else {
			b = append(b, s)
		}
	}
	return a, b
}

// halves are two parts, or one if there is one shard.
func halves(shards int, a, b store.Opener) []split.Part {
	of := [2][]message.Shard{}
	of[0], of[1] = alternate(shards)
	parts := []split.Part{{Name: "a", Shards: of[0], Opener: a}}
	if len(of[1]) > 0 {
		parts = append(parts, split.Part{Name: "b", Shards: of[1], Opener: b})
	}
	return parts
}

const hintless = "parts do not hint"

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Differs: storetest.Differences{NoHints: hintless}, Make: func(_ testing.TB, shards int) storetest.Place {
		a, b := mem.New(mem.Shards(shards), mem.Seed(1)), mem.New(mem.Shards(shards), mem.Seed(2))
		return storetest.Place{
			Opener: split.Of(halves(shards, a, b)...),
			Kill:   func(testing.TB) { a.Crash(1 << 30); b.Crash(1 << 30) },
			Restore: func(t testing.TB, _ store.Store) store.Opener {
				a, b := a.Backup(), b.Backup()
				parts := halves(shards, a, b)
				if err := split.Renew(background, parts, func(context.Context, string) error { return nil }); err != nil {
					t.Fatal(err)
				}
				// To a disk, a process that looked at it was its last one, and ended in order.
				for i, d := range []*mem.Disk{a, b}[:len(parts)] {
					if _, err := d.OpenPart(background, parts[i].Shards); err != nil {
						t.Fatal(err)
					}
					d.Crash(1 << 30)
				}
				return split.Of(parts...)
			},
		}
	}})
}

// The same laws hold where many have the parts open.
func TestSharedStore(t *testing.T) {
	differs := storetest.Differences{
		NoHints: hintless, NoBackup: "the disk's copy is not told from it here", NotLocked: "it is shared",
		NoCleanStart: "a claim says it of a shard", LeasesByPart: "each part has its own clock",
	}
	storetest.Run(t, storetest.Harness{Differs: differs, Make: func(_ testing.TB, shards int) storetest.Place {
		now := new(atomic.Int64)
		disk := func(seed uint64) *mem.Disk {
			return mem.New(mem.Shards(shards), mem.Seed(seed), mem.Shared(time.Minute, func() time.Time { return time.Unix(now.Load(), 0) }))
		}
		a, b := disk(1), disk(2)
		return storetest.Place{Opener: split.Of(halves(shards, a, b)...), Kill: func(testing.TB) { a.Crash(1 << 30); b.Crash(1 << 30) }}
	}})
}
