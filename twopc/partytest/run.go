package partytest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Run runs the suite. make is called once for each test.
func Run(t *testing.T, make func(t *testing.T) *Subject) {
	for _, one := range []struct {
		name string
		test func(*testing.T, *Subject)
	}{
		{"Commit", commit}, {"Abort", abort}, {"Refusal", refusal}, {"Failure", failure}, {"ReadOnly", readOnly},
		{"Names", names}, {"Concurrent", concurrent}, {"LostAnswers", lost}, {"AbortFirst", abortFirst}, {"Race", race},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			one.test(t, make(t))
		})
	}
}

// sees fails the test unless the sum is as it must be.
func (s *Subject) sees(t testing.TB, want int) {
	t.Helper()
	if got := s.Sum(t); got != want {
		t.Errorf("the sum is %d, and must be %d", got, want)
	}
}

// FAULTS 43: a promise is invisible until it is kept, which may be asked for again.
func commit(t *testing.T, s *Subject) {
	b := Branch(t, Ask{Write: 7})
	p := Yes(t, s.Participant, b)
	s.sees(t, 0)
	list := Mine(t, s.Participant, b.Tx)
	if len(list) != 1 || list[0].Name != p.Name || list[0].Handle != p.Handle {
		t.Fatalf("listed is %+v, not %+v", list, p)
	}
	if age := time.Since(list[0].Since); age < -time.Minute || age > time.Minute {
		t.Errorf("it is said to be prepared since %v", list[0].Since)
	}
	if again := Yes(t, s.Participant, b); again != p {
		t.Errorf("prepared again it is %+v", again)
	}
	for range 3 {
		if err := Until(t, func(ctx context.Context) error { return s.Participant.Commit(ctx, p) }); err != nil {
			t.Fatal(err)
		}
		s.sees(t, 7)
	}
	if left := Mine(t, s.Participant, b.Tx); len(left) != 0 {
		t.Errorf("it is still listed: %+v", left)
	}
	if err := Until(t, func(ctx context.Context) error { return s.Participant.Abort(ctx, p) }); !Refused(err, twopc.CodeResolvedOtherwise) {
		t.Errorf("an abort of what was committed says %v", err)
	}
	s.sees(t, 7)
}

func abort(t *testing.T, s *Subject) {
	b := Branch(t, Ask{Write: 7})
	p := Yes(t, s.Participant, b)
	for range 3 {
		if err := Until(t, func(ctx context.Context) error { return s.Participant.Abort(ctx, p) }); err != nil {
			t.Fatal(err)
		}
	}
	if left := Mine(t, s.Participant, b.Tx); len(left) != 0 {
		t.Errorf("it is still listed: %+v", left)
	}
	if err := Until(t, func(ctx context.Context) error { return s.Participant.Commit(ctx, p) }); !Refused(err, twopc.CodeResolvedOtherwise) {
		t.Errorf("a commit of what was aborted says %v", err)
	}
	s.sees(t, 0)
}

// A refusal is the vote no, with the work's own code, and leaves nothing.
func refusal(t *testing.T, s *Subject) {
	b := Branch(t, Ask{Write: 7, Refuse: "insufficient_funds"})
	for range 2 {
		if v, err := s.Participant.Prepare(t.Context(), b); !Refused(err, "insufficient_funds") {
			t.Errorf("the vote is %+v, %v", v, err)
		}
	}
	s.nothing(t, b)
}

// Work that fails is asked again.
func failure(t *testing.T, s *Subject) {
	b := Branch(t, Ask{Write: 7, Fail: true})
	if v, err := s.Participant.Prepare(t.Context(), b); semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("the vote is %+v, %v", v, err)
	}
	s.nothing(t, b)
	b = twopc.Branch{Tx: b.Tx, Name: b.Name, Body: Branch(t, Ask{Write: 9}).Body}
	if err := Until(t, func(ctx context.Context) error { return s.Participant.Commit(ctx, Yes(t, s.Participant, b)) }); err != nil {
		t.Fatal(err)
	}
	s.sees(t, 9)
}

// nothing is left of a branch, and an abort of it has nothing to do.
func (s *Subject) nothing(t testing.TB, b twopc.Branch) {
	t.Helper()
	s.sees(t, 0)
	if left := Mine(t, s.Participant, b.Tx); len(left) != 0 {
		t.Errorf("listed is %+v", left)
	}
}

func readOnly(t *testing.T, s *Subject) {
	w := Yes(t, s.Participant, Branch(t, Ask{Write: 7}))
	b := Branch(t, Ask{})
	v, err := s.Participant.Prepare(t.Context(), b)
	if err != nil || !v.ReadOnly || !bytes.Equal(v.Reply, []byte("0")) {
		t.Errorf("the vote is %+v (%s), %v", v, v.Reply, err)
	}
	s.nothing(t, b)
	if err := Until(t, func(ctx context.Context) error { return s.Participant.Commit(ctx, w) }); err != nil {
		t.Fatal(err)
	}
	v, err = s.Participant.Prepare(t.Context(), Branch(t, Ask{}))
	if err != nil || !v.ReadOnly || !bytes.Equal(v.Reply, []byte("7")) {
		t.Errorf("the vote is %+v (%s), %v", v, v.Reply, err)
	}
}

// What could end a name in a statement or in a header gets nowhere.
func names(t *testing.T, s *Subject) {
	body := Branch(t, Ask{Write: 7}).Body
	for _, b := range []twopc.Branch{
		{}, {Tx: "a"}, {Name: "b1"}, {Tx: "a'", Name: "b1"}, {Tx: "a", Name: "b'; COMMIT; --"}, {Tx: "a:b", Name: "b1"}, {Tx: "a", Name: "b:1"},
		{Tx: "A", Name: "b1"}, {Tx: "a\r\nb", Name: "b1"}, {Tx: Tx(t) + "x", Name: "b1"}, {Tx: "a", Name: "123456789"},
	} {
		b.Body = body
		var no *semel.Rejection
		if v, err := s.Participant.Prepare(t.Context(), b); !errors.As(err, &no) {
			t.Errorf("%q, %q: the vote is %+v, %v", b.Tx, b.Name, v, err)
		}
		for _, call := range []func(context.Context, twopc.Prepared) error{s.Participant.Commit, s.Participant.Abort} {
			if err := call(t.Context(), twopc.Prepared{Tx: b.Tx, Name: b.Name}); err == nil {
				t.Errorf("%q, %q: it is resolved", b.Tx, b.Name)
			}
		}
	}
	for _, h := range []string{"'", "x'; DROP TABLE n; --", "0", "'\"\\"} {
		if err := s.Participant.Commit(t.Context(), twopc.Prepared{Tx: Tx(t), Name: "b1", Handle: h}); err == nil {
			t.Errorf("the handle %q is committed", h)
		}
	}
	s.sees(t, 0)
}
