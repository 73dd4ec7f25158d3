package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/semel-dev/semel/internal/child"
)

// stopTime is what a server has to stop in order.
const stopTime = 10 * time.Second

// keeper keeps `semel serve` running: it is, started again whenever it was killed.
type keeper struct {
	binary, config string
	log            io.Writer
	guard          func(context.Context, int) error // is told its process; 0 for none

	mu     sync.Mutex
	life   *life
	closed chan struct{} // closed when nothing is started any more
}

// life is the server from one start to its end. What it says once up is closed
// does not change, except under the server's lock.
type life struct {
	number int           // of the start, from 0
	up     chan struct{} // closed when it serves, or never will
	url    string
	child  *child.Process
	took   time.Duration // to start
	failed error         // why it never will

	doomed, stopped bool // it may end
}

// run starts it, and keeps it running until ctx ends or it is stopped.
func (s *keeper) run(ctx context.Context) error {
	s.closed = make(chan struct{})
	s.life = &life{up: make(chan struct{})}
	if err := s.start(ctx, s.life); err != nil {
		return err
	}
	go func() {
		defer close(s.closed)
		for s.again(ctx) {
		}
	}()
	return nil
}

func (s *keeper) start(ctx context.Context, l *life) error {
	began := time.Now()
	c, err := child.Spawn(ctx, child.Options{Log: s.log}, s.binary, "serve", "--config", s.config)
	if err != nil {
		return err
	}
	if err := s.guard(ctx, c.Cmd.Process.Pid); err != nil {
		c.Kill()
		<-c.Ended
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.url, l.child, l.took = c.First, c, time.Since(began)
	close(l.up)
	return nil
}

// again waits until the server has ended, and starts it again if it was killed.
func (s *keeper) again(ctx context.Context) bool {
	last := s.present()
	select {
	case <-last.child.Ended:
	case <-ctx.Done():
		last.child.Kill()
		<-last.child.Ended
	}
	next := &life{number: last.number + 1, up: make(chan struct{})}
	s.mu.Lock()
	s.life = next
	doomed, stopped := last.doomed, last.stopped
	s.mu.Unlock()
	var err error
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case stopped:
		err = errors.New("the server is stopped")
	case !doomed:
		err = fmt.Errorf("the server ended by itself (%v)", last.child.Cmd.ProcessState)
	default:
		if err = s.start(ctx, next); err == nil {
			return true
		}
		err = fmt.Errorf("the server could not be started again: %w", err)
	}
	next.failed = err
	close(next.up)
	return false
}

func (s *keeper) present() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// await returns the present life when it serves. It may have been killed an
// instant ago; then a call of its address fails.
func (s *keeper) await(ctx context.Context) (*life, error) {
	l := s.present()
	select {
	case <-l.up:
		return l, l.failed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// awaitNext returns the life after this one, when it serves.
func (s *keeper) awaitNext(ctx context.Context, last *life) (*life, error) {
	select {
	case <-last.child.Ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		l, err := s.await(ctx)
		if err != nil || l != last {
			return l, err
		}
		time.Sleep(time.Millisecond) // its end was seen here first
	}
}

// doom says that the server is going to be killed.
func (s *keeper) doom() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life.doomed = true
	return s.life
}

// kill sends SIGKILL to the server that serves.
func (s *keeper) kill() { s.doom().child.Kill() }

// stop ends it in order.
func (s *keeper) stop() error {
	s.mu.Lock()
	l := s.life
	l.stopped = true
	s.mu.Unlock()
	if l.child != nil {
		if err := l.child.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			l.child.Kill() // a system without the signal
		}
		late := time.AfterFunc(stopTime, l.child.Kill)
		defer late.Stop()
	}
	<-s.closed
	return s.guard(context.Background(), 0)
}
