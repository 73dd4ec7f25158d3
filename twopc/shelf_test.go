package twopc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// shelf is a participant in memory, to inject faults into what surrounds real
// ones: it keeps goods that were put on it, and can hold several prepared
// things of one branch, as a database can that was reached by two calls.
type shelf struct {
	mu       sync.Mutex
	prepared map[Prepared]string // what is kept aside, until the decision
	kept     map[Prepared]string
	dropped  map[Prepared]bool
	refused  map[string]bool // branches that an Abort without a handle closed
	calls    int
	log      []string
	wrong    map[string]int // calls of a step of a branch that came when faults were asked for
}

func newShelf() *shelf {
	return &shelf{
		prepared: make(map[Prepared]string), kept: make(map[Prepared]string),
		dropped: make(map[Prepared]bool), refused: make(map[string]bool),
		wrong: make(map[string]int),
	}
}

// put is the body of a branch.
type put struct {
	What     string `json:"what"`
	ReadOnly bool   `json:"read_only,omitempty"`
	No       string `json:"no,omitempty"`
}

func (s *shelf) Prepare(_ context.Context, b Branch) (Vote, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in put
	if err := json.Unmarshal(b.Body, &in); err != nil {
		return Vote{}, err
	}
	s.log = append(s.log, "prepare "+b.Name)
	switch {
	case in.No != "":
		return Vote{}, semel.Reject(in.No, "there is no room for %s", in.What)
	case in.ReadOnly:
		return Vote{ReadOnly: true, Reply: json.RawMessage(`"seen"`)}, nil
	case s.refused[b.Tx+"/"+b.Name]:
		return Vote{}, semel.Reject("aborted", "the branch was aborted before")
	}
	reply := json.RawMessage(fmt.Sprintf("%q", "put "+in.What))
	for p := range s.prepared {
		if p.Tx == b.Tx && p.Name == b.Name {
			return Vote{Handle: p.Handle, Reply: reply}, nil
		}
	}
	s.calls++
	h := fmt.Sprint("h", s.calls)
	s.prepared[Prepared{Tx: b.Tx, Name: b.Name, Handle: h}] = in.What
	return Vote{Handle: h, Reply: reply}, nil
}

func (s *shelf) Commit(_ context.Context, p Prepared) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, "commit "+p.Name)
	what, ok := s.prepared[p]
	switch {
	case ok:
		delete(s.prepared, p)
		s.kept[p] = what
	case s.dropped[p]:
		return semel.Reject("resolved_otherwise", "it was dropped before")
	}
	return nil
}

func (s *shelf) Abort(_ context.Context, p Prepared) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, "abort "+p.Name)
	if p.Handle == "" {
		s.refused[p.Tx+"/"+p.Name] = true
	}
	for q := range s.prepared {
		if q.Tx == p.Tx && q.Name == p.Name && (p.Handle == "" || p.Handle == q.Handle) {
			delete(s.prepared, q)
			s.dropped[q] = true
		}
	}
	if _, ok := s.kept[p]; ok {
		return semel.Reject("resolved_otherwise", "it was kept before")
	}
	return nil
}

func (s *shelf) Recover(context.Context) ([]Prepared, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Prepared
	for p := range s.prepared {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Prepared) int { return strings.Compare(a.Tx+a.Name+a.Handle, b.Tx+b.Name+b.Handle) })
	return list, nil
}

// gone counts the calls of a step.
func (s *shelf) gone(step string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong[step]++
	return s.wrong[step]
}

// goods is what is on the shelf, in order, and how much is kept aside.
func (s *shelf) goods() (kept string, prepared int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, what := range s.kept {
		list = append(list, what)
	}
	slices.Sort(list)
	return strings.Join(list, " "), len(s.prepared)
}

// reached is a shelf behind a service of the kit's World, around each call of
// which the program crashes, and which loses calls and answers. The service
// counts nothing: what comes of it is seen on the shelf.
type reached struct {
	*shelf
	line *semeltest.Service
}

func (r reached) call(ctx context.Context, op string, at any, do func() (Vote, error)) (Vote, error) {
	return semeltest.Call(ctx, r.line, "", map[string]any{"op": op, "at": at}, do)
}

func (r reached) Prepare(ctx context.Context, b Branch) (Vote, error) {
	return r.call(ctx, opPrepare, b.Name, func() (Vote, error) { return r.shelf.Prepare(ctx, b) })
}

func (r reached) Commit(ctx context.Context, p Prepared) error {
	_, err := r.call(ctx, opCommit, p.Name, func() (Vote, error) { return Vote{}, r.shelf.Commit(ctx, p) })
	return err
}

func (r reached) Abort(ctx context.Context, p Prepared) error {
	_, err := r.call(ctx, opAbort, p.Name, func() (Vote, error) { return Vote{}, r.shelf.Abort(ctx, p) })
	return err
}
