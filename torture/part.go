package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/semel-dev/semel/internal/child"
)

// PartVerb is the verb by which the binary becomes a process of the torture; the
// argument says which one.
const PartVerb = "torture-part"

// The parts.
const (
	partLedger = "ledger"
	partProxy  = "proxy"
	partClient = "client"
)

// Part is the process of a part: it reads what to do from in, a line of JSON, and
// after it a command a line, until in ends, which is when the conductor does,
// however that came about. It says on out, a line each, that it is ready, and
// what it has done.
func Part(role string, in io.Reader, out io.Writer) error {
	commands := bufio.NewReader(in)
	line, err := commands.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no instructions came: %w", err)
	}
	switch role {
	case partLedger:
		return runPart(line, commands, out, runLedger)
	case partProxy:
		return runPart(line, commands, out, runProxy)
	case partClient:
		return runPart(line, commands, out, runLoader)
	}
	return fmt.Errorf("there is no part %q", role)
}

// conversation is what a part has of the conductor.
type conversation struct {
	in  *bufio.Reader
	out io.Writer
}

func runPart[C any](line []byte, in *bufio.Reader, out io.Writer, run func(C, conversation) error) error {
	var config C
	if err := json.Unmarshal(line, &config); err != nil {
		return err
	}
	return run(config, conversation{in, out})
}

// next is the next command and its argument; io.EOF when there is no more.
func (c conversation) next() (command, argument string, err error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", "", io.EOF // whatever it was: nobody speaks to us any more
	}
	command, argument, _ = strings.Cut(strings.TrimSpace(line), " ")
	return command, argument, nil
}

func (c conversation) say(words ...any) error {
	_, err := fmt.Fprintln(c.out, words...)
	return err
}

// part is a process of the torture as the conductor sees it.
type part struct {
	*child.Process
	role string
}

// startPart starts one and returns when it is ready. What it says afterwards goes
// to heard, if that is given.
func (s *stage) startPart(ctx context.Context, role string, config any, heard func(line string)) (*part, error) {
	instructions, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	started, err := child.Spawn(ctx, child.Options{Log: s.log, Line: heard, Input: append(instructions, '\n')}, s.opt.Binary, PartVerb, role)
	if err != nil {
		return nil, fmt.Errorf("the %s: %w; see %s", role, err, s.log.Name())
	}
	p := &part{started, role}
	s.parts = append(s.parts, p)
	return p, nil
}

// tell sends it a command.
func (p *part) tell(words ...any) error {
	if _, err := fmt.Fprintln(p.Stdin, words...); err != nil {
		return fmt.Errorf("the %s does not listen any more: %w", p.role, err)
	}
	return nil
}

// finish has a part write the last line of its file and end. One that does not
// is killed, and its file has no end.
func (p *part) finish() error {
	_ = p.Stdin.Close() // it may have ended
	late := time.AfterFunc(stopTime, p.Kill)
	defer late.Stop()
	<-p.Ended
	if !p.Cmd.ProcessState.Success() {
		return fmt.Errorf("the %s failed: %v", p.role, p.Cmd.ProcessState)
	}
	return nil
}

// file names a file of the history.
func (s *stage) file(name string) string {
	s.files = append(s.files, name)
	return filepath.Join(s.opt.Dir, name)
}
