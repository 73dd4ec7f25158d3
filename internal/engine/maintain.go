package engine

import (
	"math"
	"time"

	"github.com/semel-dev/semel/store"
)

// spaceEvery is how often the room on the device is looked at.
const spaceEvery = time.Second

// retireLater hands a shard's leave to forget to the maintenance goroutine. If
// that is behind, the leave is dropped: the next one covers it.
func (e *Engine) retireLater(r store.Retention) {
	select {
	case e.retire <- r:
	default:
	}
}

// maintain drops what retention does not need any more. The store may let it
// wait long, for a backup.
func (e *Engine) maintain() {
	defer e.running.Done()
	for {
		select {
		case r := <-e.retire:
			if err := e.store.Maintain(e.ctx, r); err != nil && e.ctx.Err() == nil {
				e.cfg.Logger.Error("what is not needed any more cannot be dropped; it is tried again later", "shard", r.Shard, "error", err)
			}
		case <-e.ctx.Done():
			return
		}
	}
}

// watchSpace watches the room on the device, whatever maintenance waits for.
func (e *Engine) watchSpace() {
	defer e.running.Done()
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	for {
		e.checkSpace()
		e.measureStore()
		select {
		case <-ticker.C:
		case <-e.ctx.Done():
			return
		}
	}
}

// checkSpace refuses new work while the device is nearly full, before the
// store itself would fail for good (FAULTS 10).
func (e *Engine) checkSpace() {
	sp, ok := e.store.(store.Spacer)
	if !ok {
		return
	}
	free, err := sp.Free()
	if err != nil {
		e.cfg.Logger.Warn("the room on the device is not known", "error", err)
		e.noteSpace(-1)
		return
	}
	e.noteSpace(int64(min(free, math.MaxInt64)))
	full := free < e.cfg.FreeFloor
	if e.full.Swap(full) != full {
		e.cfg.Logger.Warn("room on the device", "free_bytes", free, "floor_bytes", e.cfg.FreeFloor, "refusing", full)
	}
}
