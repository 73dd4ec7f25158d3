package pebble

import (
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/message"
)

// durable is the highest version of a shard that is known to be durable.
// Epochs and sequences both only grow along the log, so each may be raised and
// read by itself: any pair that is read was durable in both halves.
type durable struct{ epoch, seq atomic.Uint64 }

func (d *durable) raise(v message.Version) {
	raise(&d.epoch, uint64(v.Epoch))
	raise(&d.seq, uint64(v.Seq))
}

func raise(a *atomic.Uint64, to uint64) {
	for at := a.Load(); at < to && !a.CompareAndSwap(at, to); {
		at = a.Load()
	}
}

func (d *durable) load() message.Version {
	return message.Version{Epoch: message.Epoch(d.epoch.Load()), Seq: message.Seq(d.seq.Load())}
}

// watermark writes the mark in the background, at once when something changed
// and then not again before the interval has passed. So it is never older than
// the interval and one write, and an idle store writes nothing.
type watermark struct {
	write   func() error
	every   time.Duration
	dirty   atomic.Bool
	changed chan struct{}
	stop    chan struct{}
	done    chan struct{}
}

func newWatermark(every time.Duration, write func() error) *watermark {
	return &watermark{write: write, every: every, changed: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// touch says that there is something new. It is on the path of every commit:
// between two writes of the mark it is one load.
func (w *watermark) touch() {
	if !w.dirty.Load() && !w.dirty.Swap(true) {
		w.changed <- struct{}{} // never blocks: run takes it before it clears dirty
	}
}

// run writes until close is called or a write fails; the writer says so itself.
func (w *watermark) run() {
	defer close(w.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-w.stop:
			return
		}
		select {
		case <-w.changed:
		case <-w.stop:
			return
		}
		// Cleared before the versions are read: what comes later is seen again.
		w.dirty.Store(false)
		if err := w.write(); err != nil {
			return
		}
		pause.Reset(w.every)
	}
}

// close ends run and waits for it.
func (w *watermark) close() {
	close(w.stop)
	<-w.done
}
