package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Patience bounds what a server may take to start, stop or be promoted.
const Patience = 60 * time.Second

// Process is one run of a server. The zero value has never run.
type Process struct {
	home  *Home
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// Start starts a server, as the account. Its own goroutine keeps the thread that
// is the server's parent, see dieWithParent, and buries it.
func (h *Home) Start(program string, args ...string) (*Process, error) {
	log, err := os.OpenFile(h.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = h.Dir, log, log
	if err := h.drop(cmd); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	dieWithParent(cmd)
	p := &Process{home: h, cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = log.Close() // the child has its own
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(p.ended)
		}
	}()
	return p, <-started
}

// Answers returns once try does without an error: nothing tells when a socket
// appears.
func (p *Process) Answers(try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended while it started:\n%s", p.home.name, p.home.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%s takes no connections: %w\n%s", p.home.name, err, p.home.Tail())
		case <-tick.C:
		}
	}
}

// End signals the server, if it runs, and waits until it is gone.
func (p *Process) End(sig os.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(Patience):
		return fmt.Errorf("%s goes on after %v:\n%s", p.home.name, sig, p.home.Tail())
	}
}

// Kill kills the server at once, and with it all processes that it started.
// Returning, they are gone.
func (p *Process) Kill() error {
	if err := killAll(p.cmd.Process.Pid); err != nil {
		return err
	}
	return p.End(syscall.SIGKILL)
}

// Pid is the number of its process; 0 if it has never run.
func (p *Process) Pid() int {
	if p == nil || p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Running says whether it does.
func (p *Process) Running() bool {
	if p == nil || p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}
