package torture

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// clock tells the time since the run began, by the monotonic clock.
type clock struct {
	start  time.Time
	offset time.Duration
}

// newClock makes the clock of a process, of a run that began at a wall time.
func newClock(epoch int64) clock {
	now := time.Now()
	return clock{now, time.Duration(now.UnixNano() - epoch)}
}

func (c clock) now() int64 { return int64(c.offset + time.Since(c.start)) }

// recorder writes one file of the history. It is safe for concurrent use. It
// keeps no line back: what was written is there when this process is killed.
type recorder struct {
	clock
	mu    sync.Mutex
	f     *os.File
	lines int
	ended bool
	err   error // the first
}

func newRecorder(name string, epoch int64) (*recorder, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &recorder{clock: newClock(epoch), f: f}, nil
}

// write appends a record; one without a time gets the present one.
func (r *recorder) write(rec check.Record) {
	if rec.At == 0 {
		rec.At = r.now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended { // else it is of a connection that was closed under its handler
		r.put(rec)
		r.lines++
	}
}

func (r *recorder) put(rec check.Record) {
	line, err := json.Marshal(rec)
	if err == nil {
		_, err = r.f.Write(append(line, '\n'))
	}
	r.note(err)
}

func (r *recorder) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// sync has everything that was written on the disk.
func (r *recorder) sync() {
	err := r.f.Sync() // others may write meanwhile
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(err)
}

// close ends the file. The error is the first of all that went wrong: then the
// file has no end, and the checker says so too.
func (r *recorder) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.put(check.Record{Type: check.End, At: r.now(), Lines: r.lines})
	}
	r.ended = true
	return errors.Join(r.err, r.f.Close())
}
