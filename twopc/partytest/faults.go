package partytest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// However many prepare a branch at once, there is one promise.
func concurrent(t *testing.T, s *Subject) {
	b := Branch(t, Ask{Write: 7})
	var group sync.WaitGroup
	handles := make(chan string, 8)
	for range cap(handles) {
		group.Go(func() {
			var v twopc.Vote
			err := Until(t, func(ctx context.Context) (err error) {
				v, err = s.Participant.Prepare(ctx, b)
				return err
			})
			if err != nil || v.ReadOnly {
				t.Errorf("the vote is %+v, %v", v, err)
			}
			handles <- v.Handle
		})
	}
	group.Wait()
	one := <-handles
	for range cap(handles) - 1 {
		if h := <-handles; h != one {
			t.Errorf("prepared twice: %q and %q", h, one)
		}
	}
	if list := Mine(t, s.Participant, b.Tx); len(list) != 1 {
		t.Errorf("listed is %+v", list)
	}
	// Both ends of it at once, several times: one wins, for all.
	verdicts := make(chan string, 8)
	for i := range cap(verdicts) {
		group.Go(func() {
			call, name := s.Participant.Commit, "commit"
			if i%2 == 1 {
				call, name = s.Participant.Abort, "abort"
			}
			err := Until(t, func(ctx context.Context) error { return call(ctx, twopc.Prepared{Tx: b.Tx, Name: b.Name, Handle: one}) })
			if Refused(err, twopc.CodeResolvedOtherwise) {
				name = map[string]string{"commit": "abort", "abort": "commit"}[name]
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			verdicts <- name
		})
	}
	group.Wait()
	verdict := <-verdicts
	for range cap(verdicts) - 1 {
		if v := <-verdicts; v != verdict {
			t.Errorf("it ended by %s and by %s", v, verdict)
		}
	}
	s.sees(t, map[string]int{"commit": 7, "abort": 0}[verdict])
}

// A request or an answer that is lost leaves unknown what became of the call, and
// the next one finds out.
func lost(t *testing.T, s *Subject) {
	want := 0
	for _, call := range []string{"prepare", "commit", "abort"} {
		for _, reach := range []bool{false, true} {
			b := Branch(t, Ask{Write: 7})
			once := func(name string, f func(ctx context.Context) error) {
				t.Helper()
				if name == call {
					s.Cut(call, reach)
					var no *semel.Rejection
					if err := f(t.Context()); err == nil || errors.As(err, &no) || reach && semel.KindOf(err) != semel.KindUnknown {
						t.Errorf("%s, reach %v: without an answer it says %v", call, reach, err)
					}
				}
				if err := Until(t, f); err != nil {
					t.Errorf("%s, reach %v: again it says %v", call, reach, err)
				}
			}
			var v twopc.Vote
			once("prepare", func(ctx context.Context) (err error) {
				v, err = s.Participant.Prepare(ctx, b)
				return err
			})
			if list := Mine(t, s.Participant, b.Tx); len(list) != 1 || list[0].Handle != v.Handle {
				t.Errorf("%s, reach %v: listed is %+v, the vote %+v", call, reach, list, v)
			}
			if call == "abort" {
				once("abort", func(ctx context.Context) error { return s.Participant.Abort(ctx, Prepared(b, v)) })
			} else {
				want += 7
				once("commit", func(ctx context.Context) error { return s.Participant.Commit(ctx, Prepared(b, v)) })
			}
			s.sees(t, want)
		}
	}
}

// An abort that overtakes the call to prepare.
func abortFirst(t *testing.T, s *Subject) {
	b := Branch(t, Ask{Write: 7})
	all := twopc.Prepared{Tx: b.Tx, Name: b.Name}
	drop := func() {
		t.Helper()
		if err := Until(t, func(ctx context.Context) error { return s.Participant.Abort(ctx, all) }); err != nil {
			t.Fatal(err)
		}
	}
	drop()
	v, err := s.Participant.Prepare(t.Context(), b)
	switch {
	case s.Tombstones && !Refused(err, "resolved"):
		t.Errorf("after its abort the vote is %+v, %v", v, err)
	case !s.Tombstones && err != nil:
		t.Error(err)
	case !s.Tombstones:
		if list := Mine(t, s.Participant, b.Tx); len(list) != 1 || list[0].Handle != v.Handle || list[0].Since.IsZero() {
			t.Errorf("the orphan is listed as %+v", list)
		}
	}
	drop()
	s.nothing(t, b)
}

// A call to prepare and an abort of the branch at once: after both, and one more
// abort if the promise came late, nothing is left.
func race(t *testing.T, s *Subject) {
	for range 10 {
		b := Branch(t, Ask{Write: 7})
		all := twopc.Prepared{Tx: b.Tx, Name: b.Name}
		var group sync.WaitGroup
		group.Go(func() { _, _ = s.Participant.Prepare(t.Context(), b) })
		group.Go(func() { _ = Until(t, func(ctx context.Context) error { return s.Participant.Abort(ctx, all) }) })
		group.Wait()
		for _, orphan := range Mine(t, s.Participant, b.Tx) {
			if s.Tombstones {
				t.Errorf("it was prepared after its abort: %+v", orphan)
			}
			if err := Until(t, func(ctx context.Context) error { return s.Participant.Abort(ctx, orphan) }); err != nil {
				t.Error(err)
			}
		}
		s.nothing(t, b)
	}
}
