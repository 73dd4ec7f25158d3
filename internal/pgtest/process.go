package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience bounds what a server may take to start, stop or be promoted.
const patience = 60 * time.Second

// process is one run of a server.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// launch starts the postmaster. Its own goroutine keeps the thread that is its
// parent, see dieWithParent, and buries it.
func (s *Server) launch() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", s.data())
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	if err := drop(cmd); err != nil {
		return err
	}
	dieWithParent(cmd)
	p := &process{cmd: cmd, ended: make(chan struct{})}
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
	if err := <-started; err != nil {
		return err
	}
	s.process = p
	return s.ready()
}

// ready waits until the server takes connections.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond) // nothing tells when a socket appears
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-s.process.ended:
			return fmt.Errorf("PostgreSQL ended while it started:\n%s", s.tail())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL takes no connections: %w\n%s", err, s.tail())
		case <-tick.C:
		}
	}
}

// tail is the end of the server's log.
func (s *Server) tail() []byte {
	b, err := os.ReadFile(s.log())
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}

// end signals the server and waits until it is gone.
func (s *Server) end(sig os.Signal) error {
	if err := s.process.cmd.Process.Signal(sig); err != nil && s.running() {
		return err
	}
	select {
	case <-s.process.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("PostgreSQL goes on after %v:\n%s", sig, s.tail())
	}
}

func (s *Server) running() bool {
	if s.process == nil {
		return false
	}
	select {
	case <-s.process.ended:
		return false
	default:
		return true
	}
}
