package twopc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
)

// What a dead process left is found, and resolved as was decided.
func TestSweep(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		r, err := s.co.Run(t.Context(), "k", []Part{Do(s.add.Ref, "a", 1), s.put("lamp")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// A call that was thought dead prepared the same branch beside the one that voted.
		zombie := Prepared{Tx: r.Tx, Name: "2", Handle: "zombie"}
		s.shelf.prepared[zombie] = "a second lamp"
		// One of a transaction that was forgotten long ago, or never was.
		other := Prepared{Tx: nameTx(s.app.Incarnation(), agentID("default", "anonymous", "never"), time.Now()), Name: "1", Handle: "x"}
		s.shelf.prepared[other] = "a ghost"
		// Of another Semel, of nobody's, and of a tenant that nobody remembers.
		foreign := Prepared{Tx: "ffffffff" + r.Tx[8:], Name: "1", Handle: "y"}
		s.shelf.prepared[foreign] = "theirs"
		odd := Prepared{Tx: "odd", Name: "1"}
		s.shelf.prepared[odd] = "odd"
		lost := Prepared{Tx: nameTx(s.app.Incarnation(), agentID("nobody", "anonymous", "k"), time.Now()), Name: "1"}
		s.shelf.prepared[lost] = "lost"

		found, err := s.co.Sweep(t.Context())
		if err != nil || len(found) != 5 {
			t.Fatalf("%+v, %v", found, err)
		}
		for _, o := range found {
			switch o.Prepared {
			case zombie, other:
				if !o.Resolved || o.Decision != Abort {
					t.Errorf("%+v", o)
				}
			case foreign, odd:
				if o.Resolved || !errors.Is(o.Err, ErrForeign) {
					t.Errorf("%+v", o)
				}
			case lost:
				if o.Resolved || o.Err == nil || errors.Is(o.Err, ErrForeign) {
					t.Errorf("%+v", o)
				}
			}
		}
		if kept, prepared := s.shelf.goods(); kept != "lamp" || prepared != 3 {
			t.Errorf("%q is kept, %d prepared", kept, prepared)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for e, err := range s.app.Agents(t.Context(), Type) { // what was presumed is forgotten too
			t.Errorf("%+v, %v", e, err)
		}
		// What could only be listed in part is resolved, as far as it is.
		zombie.Handle = "late"
		s.shelf.prepared[zombie] = "a third lamp"
		s.shelf.recover = func() ([]Prepared, error) { return []Prepared{zombie}, errors.New("and something odd") }
		found, err = s.co.Sweep(t.Context())
		if err == nil || !strings.Contains(err.Error(), "something odd") || len(found) != 1 || found[0].Decision != Abort {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

// Before the decision a participant that asks must wait, and after it hears what
// was decided, of the handle that voted.
func TestDecision(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		var tx string
		asked, goOn := make(chan struct{}), make(chan struct{})
		s.shelf.prepare = func(ctx context.Context, b Branch) (Vote, error) {
			v, err := s.shelf.shelf.Prepare(ctx, b)
			if b.Name == "2" {
				tx = b.Tx
				close(asked)
				<-goOn
			}
			return v, err
		}
		s.shelf.commits(errors.New("not yet"))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.co.Run(t.Context(), "k", []Part{s.put("lamp"), s.put("cup")}); err != nil {
				t.Error(err)
			}
		})
		<-asked
		synctest.Wait() // the other one is prepared too, and its vote is known
		decision := func(name, handle string) Decision {
			d, err := s.co.Decision(t.Context(), Prepared{Tx: tx, Name: name, Handle: handle})
			if err != nil {
				t.Error(err)
			}
			return d
		}
		for _, h := range []string{"h1", "h2"} {
			if d := decision("1", h); d != Wait {
				t.Error(d)
			}
		}
		found, err := s.co.Sweep(t.Context())
		if err != nil || len(found) != 2 || found[0].Resolved || found[0].Decision != Wait {
			t.Errorf("%+v, %v", found, err)
		}
		close(goOn)
		wg.Wait()
		list, _ := s.shelf.shelf.Recover(t.Context())
		for _, p := range list {
			if d := decision(p.Name, p.Handle); d != Commit {
				t.Errorf("%+v: %s", p, d)
			}
			if d := decision(p.Name, p.Handle+"x"); d != Abort {
				t.Errorf("another one than %+v: %s", p, d)
			}
		}
		s.shelf.commits(nil)
		if found, err := s.co.Sweep(t.Context()); err != nil || len(found) != 2 || !found[0].Resolved || !found[1].Resolved {
			t.Errorf("%+v, %v", found, err)
		}
		if kept, prepared := s.shelf.goods(); kept != "cup lamp" || prepared > 0 {
			t.Errorf("%q is kept, %d prepared", kept, prepared)
		}
	})
}

// An abort that was presumed stands: two that ask hear the same, and the key can
// be used by whoever comes later.
func TestPresumedAbort(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		id := agentID("default", "anonymous", "k")
		tx := nameTx(s.app.Incarnation(), id, time.Now())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if d, err := s.co.Decision(t.Context(), Prepared{Tx: tx, Name: "1", Handle: "h"}); err != nil || d != Abort {
					t.Errorf("%s, %v", d, err)
				}
			})
		}
		wg.Wait()
		parts := []Part{s.put("lamp"), Do(s.add.Ref, "a", 1)}
		// The name is the very one, in the second in which it was presumed: that is
		// not done, and another second is another name.
		if _, err := s.co.Run(t.Context(), "k", parts); semel.KindOf(err) != semel.KindNotDone {
			t.Error(err)
		}
		time.Sleep(time.Second)
		r, err := s.co.Run(t.Context(), "k", parts)
		if err != nil || r.Tx == tx {
			t.Errorf("%+v, %v", r, err)
		}
		if d, err := s.co.Decision(t.Context(), Prepared{Tx: tx, Name: "1", Handle: "h1"}); err != nil || d != Abort {
			t.Errorf("%s, %v", d, err)
		}
		if d, err := s.co.Decision(t.Context(), Prepared{Tx: r.Tx, Name: "1", Handle: "h1"}); err != nil || d != Commit {
			t.Errorf("%s, %v", d, err)
		}
	})
}

func TestTenants(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		parts := []Part{s.put("lamp"), Do(s.add.Ref, "a", 1)}
		var txs []string
		for _, tenant := range []string{"", "acme", "default"} {
			r, err := s.co.Run(t.Context(), "k", parts, Tenant(tenant))
			if err != nil {
				t.Fatal(err)
			}
			txs = append(txs, r.Tx)
		}
		if txs[0] != txs[2] || txs[0] == txs[1] {
			t.Errorf("%q", txs)
		}
		if _, err := s.co.Run(t.Context(), "k", parts, As("bob")); err != nil {
			t.Error(err)
		}
		if n := s.cents(t, "a"); n != 2 {
			t.Errorf("a has %d", n)
		}
		if p, _, err := s.purse.Get(t.Context(), "a", semel.Tenant("acme")); err != nil || p.Cents != 1 {
			t.Errorf("%+v, %v", p, err)
		}
		if _, err := s.co.Get(t.Context(), txs[1]); !errors.Is(err, semel.ErrUnknownAgent) {
			t.Errorf("another tenant's: %v", err)
		}
		if err := s.co.Resolve(t.Context(), txs[1], "1", "ann", "?"); !errors.Is(err, semel.ErrUnknownAgent) {
			t.Errorf("another tenant's: %v", err)
		}
		if i, err := s.co.Get(t.Context(), txs[1], Tenant("acme")); err != nil || i.State != Committed {
			t.Errorf("%+v, %v", i, err)
		}
		// Who asks knows the name only.
		if d, err := s.co.Decision(t.Context(), Prepared{Tx: txs[1], Name: "1", Handle: "h2"}); err != nil || d != Commit {
			t.Errorf("%s, %v", d, err)
		}
		n := 0
		for _, err := range s.co.List(t.Context(), "", Tenant("acme")) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d are listed", n)
		}
	})
}

func TestWatch(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.co.Watch(ctx, time.Minute); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		time.Sleep(30 * time.Second)
		s.shelf.mu.Lock()
		s.shelf.prepared[Prepared{Tx: nameTx(s.app.Incarnation(), agentID("default", "anonymous", "never"), time.Now()), Name: "1"}] = "a ghost"
		s.shelf.mu.Unlock()
		time.Sleep(31 * time.Second)
		if _, prepared := s.shelf.goods(); prepared != 0 {
			t.Errorf("%d prepared", prepared)
		}
		cancel()
		wg.Wait()
		if err := s.co.Watch(ctx, 0); err == nil || errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
