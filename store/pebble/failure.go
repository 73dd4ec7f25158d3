package pebble

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/semel-dev/semel/store"
)

// failure is the device's first failure. There is no way back from it.
//
// Once the store is open it is armed: a failure ends the process. Until then
// the caller of OpenStore hears of it, which takes some care, see attempt.
type failure struct {
	err      atomic.Pointer[error]
	happened chan struct{} // closed at the first failure
	armed    atomic.Bool
	once     sync.Once
	fatal    func(error)
}

func newFailure(fatal func(error)) *failure {
	return &failure{fatal: fatal, happened: make(chan struct{})}
}

// fail records the first failure, ends the process because of it, and returns
// it. Later failures are mere consequences.
func (f *failure) fail(cause error) error {
	own := fmt.Errorf("%w: %w", store.ErrBroken, cause)
	if f.err.CompareAndSwap(nil, &own) {
		close(f.happened)
	}
	err := *f.err.Load()
	if f.armed.Load() {
		// Whoever fails while the process is being ended waits here, lest
		// Pebble's panic be quicker than the message.
		f.once.Do(func() { f.fatal(err) })
	}
	return err
}

// hold is fail for where Pebble would do worse than fail, see deviceFS. As
// long as nobody is to end the process, its goroutine stays here for ever
// instead, and attempt goes on without it.
func (f *failure) hold(cause error) {
	_ = f.fail(cause)
	if !f.armed.Load() {
		select {}
	}
}

// broken returns the failure, nil as long as there is none.
func (f *failure) broken() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// write does one write to Pebble and turns all its ways of failing into one.
// They are: an error; a panic; and a call of Logger.Fatalf, after which, if
// that returns, Pebble returns nil.
func (f *failure) write(apply func() error) (err error) {
	if err := f.broken(); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = f.fail(fmt.Errorf("pebble panicked: %v\n%s", p, debug.Stack()))
		}
	}()
	if err := apply(); err != nil {
		return f.fail(err)
	}
	return f.broken()
}

// attempt does something to Pebble while the store is not open yet. When the
// device fails it returns at once, though Pebble may never: what is under way
// then is abandoned, with the lock on the directory, until the process ends.
func (f *failure) attempt(do func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- f.fail(fmt.Errorf("pebble panicked: %v\n%s", p, debug.Stack()))
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-f.happened:
	}
	return f.broken()
}
