package outbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Relay delivers the committed messages of an Outbox to a Sink. Any number of
// them may run, in any number of processes; they share the partitions, and take
// over from each other. Its methods are safe for concurrent use.
type Relay struct {
	o    *Outbox
	db   DB
	sink Sink
	cfg  RelayConfig

	owner string // unique for this relay, so that nobody's lease is taken for its own
	wake  []chan struct{}
	stats relayStats

	sights map[int]sight // of leases; Run's
}

// RelayConfig of a Relay. The zero value is good.
type RelayConfig struct {
	// Name says in the table of leases who it is. The default is the host's
	// name and the process's number. A random part is added.
	Name string
	// Batch is how many messages a sink gets at once: 100, at most 1,000. Each
	// of the partitions may have one batch in memory.
	Batch int
	// Poll is how long an idle partition waits before it looks again, unless
	// Wake was called. The default is 200 ms. It looks by one read.
	Poll time.Duration
	// Lease is for how long a partition belongs to a relay that is not heard of,
	// by the database's clock. The default is 30 s, at least 1 s. A Deliver has
	// two thirds of it.
	Lease time.Duration
	// BackoffMin and BackoffMax bound the wait after a failed attempt: it doubles
	// from one to the other, with jitter of up to half. 200 ms and 1 min.
	BackoffMin, BackoffMax time.Duration
	// MaxAttempts is after how many failed attempts a message becomes a dead
	// letter. Zero: never, only if it is Refused or named by GiveUp. With a limit, an outage of the
	// receiver that is long enough makes a dead letter of everything.
	MaxAttempts int
	// KeepDelivered keeps delivered messages in a table, until CleanDelivered.
	KeepDelivered bool
	// UnsafeServer delivers from a database that may lose what it has committed:
	// see ErrUnsafeServer. It is for tests, and for messages that may be untrue.
	UnsafeServer bool
	// OnError hears what went wrong and is being tried again; it must not block.
	OnError func(error)
}

// mostStuck bounds the memory of a partition: when so many keys wait for another
// attempt, the partition waits with them.
const mostStuck = 100_000

// NewRelay checks the configuration; nil is its zero value. Run starts it. The
// db must be of the outbox's dialect, with connections for each of the
// partitions and one more, or they wait for each other.
func NewRelay(o *Outbox, db DB, sink Sink, cfg *RelayConfig) (*Relay, error) {
	var c RelayConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Name == "" {
		host, _ := os.Hostname() // a name for people; empty is one, too
		c.Name = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	c.Batch, c.Poll, c.Lease = cmp.Or(c.Batch, 100), cmp.Or(c.Poll, 200*time.Millisecond), cmp.Or(c.Lease, 30*time.Second)
	c.BackoffMin, c.BackoffMax = cmp.Or(c.BackoffMin, 200*time.Millisecond), cmp.Or(c.BackoffMax, time.Minute)
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	switch {
	case o == nil || db == nil || sink == nil:
		return nil, errors.New("outbox: a relay needs an Outbox, a DB and a Sink")
	case c.Batch < 1 || c.Batch > 1000:
		return nil, fmt.Errorf("outbox: a batch of %d is not between 1 and 1,000", c.Batch)
	case c.Lease < time.Second:
		return nil, fmt.Errorf("outbox: a lease of %v is shorter than a second", c.Lease)
	case c.Poll < time.Millisecond || c.Poll > c.Lease/3:
		return nil, fmt.Errorf("outbox: a poll of %v is not between 1 ms and a third of the lease", c.Poll)
	case c.BackoffMin < time.Millisecond || c.BackoffMax < c.BackoffMin || c.MaxAttempts < 0:
		return nil, fmt.Errorf("outbox: backoff %v to %v, %d attempts", c.BackoffMin, c.BackoffMax, c.MaxAttempts)
	}
	r := &Relay{o: o, db: db, sink: sink, cfg: c, sights: make(map[int]sight), owner: cut(c.Name, 150) + "/" + rand.Text()[:16]}
	r.wake = make([]chan struct{}, mostPartitions)
	for i := range r.wake {
		r.wake[i] = make(chan struct{}, 1)
	}
	return r, nil
}

// Wake makes the relay look at once, for whoever has just committed a Send in
// this process. It is a hint, and never blocks.
func (r *Relay) Wake() {
	for _, c := range r.wake {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Stats are what a relay did since it was made.
type Stats struct {
	Delivered int64 // messages that the sink took and that are marked so
	Failed    int64 // attempts that were not done, or are unknown
	Dead      int64 // messages that became dead letters
	Stuck     int64 // keys that wait for another attempt now
	Held      int64 // partitions that it serves now
	Fenced    int64 // times that a lease turned out to be another relay's
}

type relayStats struct{ delivered, failed, dead, stuck, held, fenced atomic.Int64 }

// Stats returns the counts.
func (r *Relay) Stats() Stats {
	s := &r.stats
	return Stats{s.delivered.Load(), s.failed.Load(), s.dead.Load(), s.stuck.Load(), s.held.Load(), s.fenced.Load()}
}

// Run delivers until ctx ends, and returns when nothing of it runs any more.
// What was delivered by then is marked, and the leases are given back, if the
// database answers within seconds. An error of the database does not end it:
// OnError hears it, and Run tries again; except for ErrUnsafeServer, which it
// returns. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	held := make(map[int]*tenure)
	ended := make(chan int)
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before it waits
	serve := func(l lease) {
		t := &tenure{stop: make(chan struct{})}
		held[l.part] = t
		r.stats.held.Add(1)
		wait.Go(func() {
			p := newPartition(r, l, t.stop)
			p.serve(ctx)
			r.stats.held.Add(-1)
			select {
			case ended <- l.part:
			case <-ctx.Done():
			}
		})
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			wait.Wait()
			r.leave(ctx)
			return nil
		case part := <-ended:
			delete(held, part)
			continue
		case <-pause.C:
		}
		leases, surplus, err := r.claimShare(ctx, held)
		if errors.Is(err, ErrUnsafeServer) {
			cancel()
			wait.Wait()
			r.leave(ctx)
			return err
		}
		if err != nil && ctx.Err() == nil {
			r.cfg.OnError(fmt.Errorf("outbox: relay %s: %w", r.owner, err))
		}
		for _, l := range leases {
			serve(l)
		}
		for _, part := range surplus {
			held[part].giveBack()
		}
		// Somebody may die, or come, at any time.
		pause.Reset(jitter(r.cfg.Lease / 5))
	}
}

// tenure is a partition that is served.
type tenure struct {
	stop    chan struct{} // closed: give it back
	stopped bool
}

func (t *tenure) giveBack() {
	if !t.stopped {
		t.stopped = true
		close(t.stop)
	}
}
