package engine_test

import (
	"errors"
	"path/filepath"
	"testing"

	db "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/store/pebble"
)

// FAULTS 7: a store in older formats is opened, which upgrades it, and the
// power fails before every operation of that. What is left is the old or the
// new, and in both everything is there.
func TestUpgradeKilledHalfWay(t *testing.T) {
	t.Parallel()
	want, err := readGoldenRows(onDisk(t, "v1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range everyday.versions[1:] {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			upgrade(t, version, want)
		})
	}
}

func upgrade(t *testing.T, version string, want goldenRows) {
	disk := crashfs.New()
	copyDir(t, vfs.Default, disk, filepath.Join(goldenDir, version))
	syncAll(t, disk)
	first := formatOf(t, disk)
	newest := pebble.Tuning(pebble.Options{}).FormatMajorVersion
	if first >= newest {
		t.Fatalf("%s is in format %d already, of %d", version, first, newest)
	}
	every := int64(crashfs.Every(4, 16))
	operations, crashes := int64(0), 0
	found := map[db.FormatMajorVersion]int{}
	fsys := disk.Before(func(n int64, op errorfs.Op) {
		operations = n
		for i, kept := range []int{0, 50, 100} {
			if t.Failed() || (n+int64(i))%every != 0 {
				continue
			}
			crashes++
			left := disk.Crash(kept, uint64(n)<<8|uint64(kept))
			found[formatOf(t, left)]++
			for range 2 { // FAULTS 6: a start that follows another finds the same
				rows, err := readGoldenRows(left)
				if differ := rows.differ(want); err != nil || differ != "" {
					t.Errorf("a crash before operation %d (%v %s) of the upgrade with %d%% of the unsynced data kept: %v\n%s\nrerun: SEMEL_SOAK=1 go test ./internal/engine -run '^TestUpgradeKilledHalfWay$'",
						n, op.Kind, op.Path, kept, err, differ)
					return
				}
			}
			if got := formatOf(t, left); got != newest {
				t.Errorf("after a crash before operation %d and another start the format is %d, want %d", n, got, newest)
			}
		}
	})
	rows, err := readGoldenRows(fsys)
	if differ := rows.differ(want); err != nil || differ != "" {
		t.Fatalf("%v\n%s", err, differ)
	}
	if found[first] == 0 || found[newest] == 0 {
		t.Errorf("crashes left the formats %v: they did not come before and after the upgrade from %d to %d", found, first, newest)
	}
	t.Logf("upgraded from format %d to %d in %d operations; %d crashes left the formats %v; everything was there", first, newest, operations, crashes, found)
}

func formatOf(t *testing.T, fsys vfs.FS) db.FormatMajorVersion {
	t.Helper()
	desc, err := db.Peek("data", fsys)
	if err != nil {
		t.Fatal(err)
	}
	return desc.FormatMajorVersion
}

// syncAll makes durable what a directory has; its files are already.
func syncAll(t *testing.T, fsys vfs.FS) {
	t.Helper()
	for _, name := range []string{"data", "/"} {
		dir, err := fsys.OpenDir(name)
		if err == nil {
			err = errors.Join(dir.Sync(), dir.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
