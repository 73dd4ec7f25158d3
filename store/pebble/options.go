package pebble

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultShards is the number of shards of a store that is created without
// saying how many: one for each processor that this process may use, between 2
// and 16. More than that only makes units smaller.
func DefaultShards() int { return min(max(runtime.GOMAXPROCS(0), 2), 16) }

// ExitCode is what a process exits with when its storage device failed: the
// EX_IOERR of sysexits.h.
const ExitCode = 74

// formatMajorVersion is the version of Pebble's own formats. It is pinned: a
// newer one is taken on purpose, because there is no way back from it.
const formatMajorVersion = pebble.FormatValueSeparation

// Options of a store. The zero value of a field means its default.
type Options struct {
	// Shards is fixed when the store is created; the default is DefaultShards.
	// When an existing store is opened, zero takes what it has and any other
	// number than that is an error.
	Shards int
	// CacheBytes bounds the cache of blocks that were read; 64 MiB.
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory, and in one log file,
	// before it is sorted into tables; 64 MiB. Up to four of them may exist.
	// States and dedup rows are kept in memory besides: a quarter as much begins
	// a fold, see the package documentation. Commits wait when half a
	// MemTableBytes of them is not folded, beside as much that is being folded.
	MemTableBytes uint64
	// UnitsInFlight is what the profile advises; 4.
	UnitsInFlight int
	// MaxUnitBytes is the largest unit; 32 MiB.
	MaxUnitBytes int
	// FS is the file system; the operating system's. It is for tests.
	FS vfs.FS
	// Fatal is told, once, that the device failed. It must not return as long
	// as the process serves anyone, and must not call the store. The default
	// says what happened on the standard error and exits with ExitCode.
	Fatal func(error)
	// Logger hears about stalls and slow disks; slog.Default().
	Logger *slog.Logger

	// markEvery is how often the watermark is written while it changes. It
	// must stay below the second that the documentation promises.
	markEvery time.Duration
	// foldBytes is how much is written to the front tables before it is moved
	// into the LSM.
	foldBytes int64
}

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.UnitsInFlight == 0 {
		o.UnitsInFlight = 4
	}
	if o.MaxUnitBytes == 0 {
		o.MaxUnitBytes = 32 << 20
	}
	if o.Fatal == nil {
		o.Fatal = exit
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.foldBytes == 0 {
		o.foldBytes = int64(o.MemTableBytes / 4)
	}
	if o.markEvery == 0 {
		o.markEvery = 750 * time.Millisecond
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.Shards < 0 || o.Shards > 1<<16:
		return fmt.Errorf("options: %d shards; choose 1 to 65536, or 0 for the default", o.Shards)
	case o.CacheBytes < 0 || o.UnitsInFlight < 0 || o.MaxUnitBytes < 0:
		return fmt.Errorf("options: CacheBytes, UnitsInFlight and MaxUnitBytes must not be negative")
	case o.MaxUnitBytes > 1<<30:
		return fmt.Errorf("options: MaxUnitBytes is %d; at most %d are possible", o.MaxUnitBytes, 1<<30)
	case o.MemTableBytes != 0 && o.MemTableBytes < 64<<10 || o.MemTableBytes > 1<<30:
		return fmt.Errorf("options: MemTableBytes is %d; choose 64 KiB to 1 GiB", o.MemTableBytes)
	}
	return nil
}

// fs is the file system for our own files; Pebble's own, in Tuning, watches
// the disk's health on top of it.
func (o Options) fs() vfs.FS {
	if o.FS != nil {
		return o.FS
	}
	return vfs.Default
}

func exit(err error) {
	// The exit is what matters; nobody is left to hear that the message failed.
	_, _ = fmt.Fprintf(os.Stderr, "semel: stopping at once, so that nothing is acknowledged that may be lost: %v\n"+
		"semel: check the device and its free space, then start again: recovery reads back what it holds\n", err)
	os.Exit(ExitCode)
}

// Tuning is how Pebble is set up for a store with these options. It is public
// so that a benchmark can compare the store with bare Pebble fairly; events
// are not wired up in it.
func Tuning(o Options) *pebble.Options {
	o = o.withDefaults()
	t := &pebble.Options{
		FS:                          o.FS,
		FormatMajorVersion:          formatMajorVersion,
		CacheSize:                   o.CacheBytes,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               64 << 20,
		// A dropped generation frees its room only once its tombstone is
		// flushed, and tombstones in memory slow down every read.
		FlushDelayDeleteRange:      10 * time.Second,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	for i := range t.Levels {
		// Most lookups of the dedup log are misses, which a filter answers
		// without reading: 10 bits a key are one false positive in a hundred.
		t.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		t.Levels[i].BlockSize = 16 << 10
	}
	t.ApplyCompressionSettings(compression)
	return t
}

// compression spends no time on what is rewritten soon.
func compression() pebble.DBCompressionSettings {
	s := pebble.DBCompressionFastest
	s.Name = "semel"
	s.Levels[0] = block.NoCompression
	return s
}
