package mem

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/semel-dev/semel/message"
)

// Option is a choice made when a Disk is created.
type Option func(*options)

type options struct {
	shards        int
	remoteReads   bool
	unitsInFlight int
	maxUnitBytes  int
	manualSync    bool
	lease         time.Duration    // zero unless many may have the disk open
	now           func() time.Time // by which leases run
	seed          uint64
}

// Shards sets the number of shards; the default is 4.
func Shards(n int) Option { return func(o *options) { o.shards = n } }

// RemoteReads makes the profile say that reads are not local, so that an
// engine takes the path that it takes with a database across the network.
func RemoteReads() Option { return func(o *options) { o.remoteReads = true } }

// UnitsInFlight sets what the profile says of it; the default is 2.
func UnitsInFlight(n int) Option { return func(o *options) { o.unitsInFlight = n } }

// MaxUnitBytes sets the largest unit; the default is 32 MiB.
func MaxUnitBytes(n int) Option { return func(o *options) { o.maxUnitBytes = n } }

// ManualSync makes commits durable only when the test calls SyncTo or SyncAll;
// until then Wait blocks. Without it, Wait itself makes its commit durable.
func ManualSync() Option { return func(o *options) { o.manualSync = true } }

// Shared lets many stores be open on the disk at once, as on a database: each
// is a node with a lease of that length, by a clock.
func Shared(lease time.Duration, now func() time.Time) Option {
	return func(o *options) { o.lease, o.now = lease, now }
}

// Seed tells disks apart: the incarnation is derived from it, and nothing
// else is. Two disks of one test that must not be mistaken for each other need
// different seeds.
func Seed(n uint64) Option { return func(o *options) { o.seed = n } }

func newOptions(opts []Option) options {
	o := options{shards: 4, unitsInFlight: 2, maxUnitBytes: 32 << 20}
	for _, set := range opts {
		set(&o)
	}
	if o.shards < 1 || o.shards > 1<<16 || o.unitsInFlight < 1 || o.maxUnitBytes < 1 {
		panic("mem: shards (at most 65536), units in flight and unit bytes must be at least 1")
	}
	return o
}

// incarnation derives the n-th incarnation of the disk with this seed.
func (o options) incarnation(n uint64) message.Incarnation {
	buf := binary.BigEndian.AppendUint64([]byte("semel mem incarnation"), o.seed)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(buf, n))
	return message.Incarnation(sum[:16])
}
