// Package child starts the processes of `semel demo` and `semel torture`, and
// tells when they have ended. What they say line by line on standard output is
// handed on, so that nobody reads a pipe that is closed under him.
package child

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Process is a child that was started.
type Process struct {
	Cmd   *exec.Cmd
	Stdin io.WriteCloser
	First string        // the line by which it said that it is ready, of Spawn
	Ended chan struct{} // closed when it has ended; how is in Cmd.ProcessState
}

// Options of a child. The zero value is good.
type Options struct {
	Log   io.Writer    // what it writes to standard error goes there
	Line  func(string) // is told the lines of its standard output, one at a time
	Input []byte       // is the beginning of its standard input
	Own   bool         // it heads a process group of its own
}

// Start starts a program and does not wait for it.
func Start(o Options, binary string, args ...string) (*Process, error) {
	p := &Process{Cmd: exec.Command(binary, args...), Ended: make(chan struct{})}
	p.Cmd.Env, p.Cmd.Stderr = environment(), o.Log
	if o.Own {
		ownGroup(p.Cmd)
	}
	var err error
	if p.Stdin, err = p.Cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.Ended)
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if line != "" && o.Line != nil {
				o.Line(strings.TrimSpace(line))
			}
			if err != nil {
				break
			}
		}
		_ = p.Cmd.Wait() // how it ended is in ProcessState
	}()
	_, _ = p.Stdin.Write(o.Input) // one that does not read it has ended, which is seen by that
	return p, nil
}

// Spawn starts a program and returns when it has printed its first line, which
// is Process.First. Until then the end of ctx kills it. The first line is not
// told to Options.Line.
func Spawn(ctx context.Context, o Options, binary string, args ...string) (*Process, error) {
	first := make(chan string, 1)
	told, later := false, o.Line
	o.Line = func(line string) { // by one goroutine
		switch {
		case !told:
			told = true
			first <- line
		case later != nil:
			later(line)
		}
	}
	p, err := Start(o, binary, args...)
	if err != nil {
		return nil, err
	}
	select {
	case p.First = <-first:
		return p, nil
	case <-ctx.Done():
	case <-p.Ended:
		select {
		case p.First = <-first: // it said so and ended at once: the caller will see
			return p, nil
		default:
		}
	}
	p.Kill()
	<-p.Ended
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("%s ended before it was ready (%v)", strings.Join(append([]string{binary}, args[:min(len(args), 1)]...), " "), p.Cmd.ProcessState)
}

// Kill sends SIGKILL.
func (p *Process) Kill() { _ = p.Cmd.Process.Kill() } // an error says that it has ended

// environment is ours without what would configure a server.
func environment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SEMEL_") {
			env = append(env, v)
		}
	}
	return env
}
