package mem_test

import (
	"testing"

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
