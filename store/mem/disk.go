package mem

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// ErrCrashed is what everything of a store answers after its Disk crashed. As
// the result of a commit it leaves the unit's fate unknown, as a crash does.
var ErrCrashed = errors.New("mem: the disk crashed under this store")

// Disk is what survives a process: the rows and the log that leads to them.
// It is a store.Opener. It is safe for concurrent use.
//
//  1. durable ≤ applied, and both only grow, except that a crash sets applied
//     back to what it kept.
//  2. tail holds the records from durable to applied, oldest first; each can
//     be taken back as long as those after it were.
type Disk struct {
	opt    options
	faults func(message.Shard, *message.Unit) Fault

	mu      sync.RWMutex
	changed *sync.Cond // durable or open changed
	shards  []shard
	tail    []record
	durable uint64
	open    map[*Store]bool // who has the disk open: one, unless it is shared
	leases  leases
	clean   bool   // the last store was closed in order
	life    uint64 // numbers the incarnations made of this disk
	inc     message.Incarnation
	charter []byte // see part.go
}

// shard is one shard's rows and the version of the last unit in them.
type shard struct {
	rows    rows
	version message.Version
}

// record is one entry of the log that is not durable yet.
type record struct {
	shard   message.Shard
	version message.Version // the shard's version before it
	undo    []prior
}

// New creates an empty disk.
func New(opts ...Option) *Disk {
	o := newOptions(opts)
	d := &Disk{opt: o, shards: make([]shard, o.shards), clean: true, inc: o.incarnation(0), open: make(map[*Store]bool)}
	d.leases = newLeases(o.shards)
	d.changed = sync.NewCond(&d.mu)
	for i := range d.shards {
		d.shards[i].rows = newRows()
	}
	return d
}

// OpenStore opens the disk. While another store has it open, the error wraps
// store.ErrLocked.
func (d *Disk) OpenStore(ctx context.Context) (store.Store, error) {
	s, err := d.openStore(ctx, false)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (d *Disk) openStore(ctx context.Context, part bool) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.charter) > 0 && !part {
		return nil, errPart
	}
	if len(d.open) > 0 && d.opt.lease == 0 {
		return nil, fmt.Errorf("open the memory store: %w; close the other store first", store.ErrLocked)
	}
	s := &Store{disk: d, clean: d.clean && d.opt.lease == 0, wake: make(chan message.Shard, 4*d.opt.shards), charter: d.charter}
	d.open[s], d.clean = true, false
	return s, nil
}

// Applied is the position of the last record in the log. Positions begin at 1.
func (d *Disk) Applied() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.applied()
}

// Durable is the position of the last record that a crash would keep.
func (d *Disk) Durable() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.durable
}

// SyncTo makes the log durable up to the position, or to its end if that
// comes first.
func (d *Disk) SyncTo(position uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sync(position)
}

// SyncAll makes the whole log durable.
func (d *Disk) SyncAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sync(d.applied())
}

// Crash ends the open store, if there is one, as a power failure would: of the
// records that are not durable it keeps the first keep and loses the others,
// and says how many it lost. Whatever waits on the store hears ErrCrashed. The
// disk can be opened again at once; that start is not a clean one.
func (d *Disk) Crash(keep int) (lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keep = min(max(keep, 0), len(d.tail))
	lost = len(d.tail) - keep
	for i := len(d.tail) - 1; i >= keep; i-- {
		r := d.tail[i]
		d.shards[r.shard].rows.restore(r.undo)
		d.shards[r.shard].version = r.version
	}
	d.tail = d.tail[:keep]
	d.sync(d.applied())
	for s := range d.open {
		s.state = crashed
	}
	clear(d.open)
	d.changed.Broadcast()
	return lost
}

// Backup is a copy of everything applied so far, as a disk of its own: what a
// restored backup is, with a new incarnation. Its first start is not a clean
// one, since what was copied was running. The copy shares nothing that can
// change.
func (d *Disk) Backup() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	c := &Disk{opt: d.opt, inc: d.opt.incarnation(d.life), life: d.life << 32, charter: d.charter, open: make(map[*Store]bool), leases: newLeases(d.opt.shards)}
	c.changed = sync.NewCond(&c.mu)
	for _, s := range d.shards {
		c.shards = append(c.shards, shard{rows: rows{tree: s.rows.tree.Clone()}, version: s.version})
	}
	return c
}

func (d *Disk) applied() uint64 { return d.durable + uint64(len(d.tail)) }

// append adds a record to the log.
func (d *Disk) append(r record) { d.tail = append(d.tail, r) }

// sync moves the watermark up to the position.
func (d *Disk) sync(position uint64) {
	if position = min(position, d.applied()); position <= d.durable {
		return
	}
	n := int(position - d.durable)
	rest := copy(d.tail, d.tail[n:])
	clear(d.tail[rest:])
	d.tail = d.tail[:rest]
	d.durable = position
	d.changed.Broadcast()
}
