package pebble

import (
	"path/filepath"
	"testing"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/storetest"
)

// The suite runs on the operating system's file system, and on one in memory
// in which a kill keeps everything, as the page cache does.
func TestStoreOnDisk(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Make: func(t testing.TB, shards int) storetest.Place {
			dir := t.TempDir()
			opt := testOptions(t, nil)
			opt.Shards = shards
			return storetest.Place{
				Opener: At(filepath.Join(dir, "data"), opt),
				Restore: func(t testing.TB, st store.Store) store.Opener {
					return backupAndRestore(t, st, opt, filepath.Join(dir, "backup"), filepath.Join(dir, "restored"))
				},
			}
		},
		Differs: storetest.Differences{NoKill: "the lock on the directory lives as long as this process; TestStoreInMemory kills"},
	})
}

func TestStoreInMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{Make: func(t testing.TB, shards int) storetest.Place {
		m := &machine{opt: testOptions(t, crashfs.New())}
		m.opt.Shards = shards
		return storetest.Place{
			Opener: m,
			Kill:   func(testing.TB) { m.opt.FS = m.opt.FS.(*crashfs.Disk).Crash(100, 1) },
			Restore: func(t testing.TB, st store.Store) store.Opener {
				return backupAndRestore(t, st, m.opt, "backup", "restored")
			},
		}
	}})
}
