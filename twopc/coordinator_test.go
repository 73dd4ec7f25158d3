package twopc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

// shop is a program that runs by itself, in a bubble.
type shop struct {
	app    *semel.App
	co     *Coordinator
	shelf  *unruly
	purse  *semel.Agent[purse]
	add    *semel.Action[int64, int64]
	look   *semel.Action[struct{}, int64]
	grip   *semel.Action[struct{}, struct{}]
	mu     sync.Mutex
	alarms []Alarm
}

// unruly is a shelf of which methods can be made to do something else.
type unruly struct {
	*shelf
	change  sync.Mutex
	prepare func(context.Context, Branch) (Vote, error)
	commit  func(context.Context, Prepared) error
	recover func() ([]Prepared, error)
}

// be changes what it does; nil is what a shelf does.
func (u *unruly) be(change func(*unruly)) {
	u.change.Lock()
	defer u.change.Unlock()
	change(u)
}

func (u *unruly) Prepare(ctx context.Context, b Branch) (Vote, error) {
	f := u.shelf.Prepare
	u.be(func(u *unruly) {
		if u.prepare != nil {
			f = u.prepare
		}
	})
	return f(ctx, b)
}

func (u *unruly) Commit(ctx context.Context, p Prepared) error {
	f := u.shelf.Commit
	u.be(func(u *unruly) {
		if u.commit != nil {
			f = u.commit
		}
	})
	return f(ctx, p)
}

func (u *unruly) Recover(ctx context.Context) ([]Prepared, error) {
	if u.recover != nil {
		return u.recover()
	}
	return u.shelf.Recover(ctx)
}

// commits says what every Commit from now on comes to; nil is that it commits.
func (u *unruly) commits(err error) {
	u.be(func(u *unruly) {
		u.commit = nil
		if err != nil {
			u.commit = func(context.Context, Prepared) error { return err }
		}
	})
}

// inBubble runs a test in a bubble, whose clock goes on when all wait.
func inBubble(t *testing.T, cfg *Config, test func(*testing.T, *shop)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, err := semel.Open(t.Context(), mem.New(), &semel.Config{Retention: 2 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		s := &shop{app: app, shelf: &unruly{shelf: newShelf()}, purse: semel.NewAgent[purse](app, "purse")}
		c := Config{}
		if cfg != nil {
			c = *cfg
		}
		c.OnAlarm = func(a Alarm) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alarms = append(s.alarms, a)
		}
		s.co = New(app, &c)
		s.co.Register("shelf", s.shelf)
		s.add = semel.On(s.purse, "add", (*purse).Add)
		s.look = semel.On(s.purse, "look", (*purse).Look)
		s.grip = semel.On(s.purse, "grip", func(_ *purse, s *semel.Step, _ struct{}) (struct{}, error) {
			s.Hold("mine", 10*time.Minute)
			return struct{}{}, nil
		})
		test(t, s)
		if err := app.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func (s *shop) put(what string) Part { return s.co.With("shelf", put{What: what}) }

func (s *shop) heard() []Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alarms
}

// cents is what a purse has, read by a step: it waits while the purse is prepared.
func (s *shop) cents(t *testing.T, id string) int64 {
	t.Helper()
	n, err := s.look.Call(t.Context(), id, struct{}{}, semel.Key(fmt.Sprint(time.Now().UnixNano())))
	if err != nil {
		t.Error(err)
	}
	return n
}

func code(err error) string {
	var no *semel.Rejection
	if errors.As(err, &no) {
		return no.Code
	}
	return ""
}

func TestRun(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		parts := []Part{s.put("lamp"), Do(s.add.Ref, "b", 30), Act("purse", "a", "add", []byte(`5`))}
		r, err := s.co.Run(t.Context(), "k", parts)
		if err != nil {
			t.Fatal(err)
		}
		what, err1 := Reply[string](r, 0)
		b, err2 := Reply[int64](r, 1)
		a, err3 := Reply[int64](r, 2)
		if what != "put lamp" || b != 30 || a != 5 || errors.Join(err1, err2, err3) != nil {
			t.Errorf("%q, %d, %d, %v, %v, %v", what, a, b, err1, err2, err3)
		}
		if _, err := Reply[int64](r, 0); !errors.Is(err, semel.ErrReplyMisfit) {
			t.Error(err)
		}
		if _, err := Reply[int64](r, 3); err == nil {
			t.Error("there is a fourth reply")
		}
		again, err := s.co.Run(t.Context(), "k", parts)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Errorf("again: %+v, %v", again, err)
		}
		if _, err := s.co.Run(t.Context(), "k", parts[:2]); !errors.Is(err, semel.ErrConflict) {
			t.Errorf("another one with the key: %v", err)
		}
		synctest.Wait()
		i, err := s.co.Get(t.Context(), r.Tx)
		if err != nil || i.State != Committed || i.InDoubt() || i.Finished.IsZero() || i.Branches[0].Handle != "h1" || i.Branches[1].Agent != "purse/b" {
			t.Errorf("%+v, %v", i, err)
		}
		if found, err := s.co.Find(t.Context(), "k"); err != nil || found.Tx != r.Tx {
			t.Errorf("%+v, %v", found, err)
		}
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		for e, err := range s.co.List(t.Context(), "") {
			t.Errorf("%+v is not forgotten, %v", e.Info, err)
		}
		if _, err := s.co.Get(t.Context(), r.Tx); !errors.Is(err, semel.ErrUnknownAgent) {
			t.Error(err)
		}
		if again, err := s.co.Run(t.Context(), "k", parts); err != nil || again.Tx != r.Tx { // the outcome is kept
			t.Errorf("%+v, %v", again, err)
		}
		// When the outcome is forgotten too, the key is a new one: and so is the name.
		time.Sleep(6 * time.Hour)
		if again, err := s.co.Run(t.Context(), "k", parts); err != nil || again.Tx == r.Tx || again.Tx[:41] != r.Tx[:41] {
			t.Errorf("%+v, %v", again, err)
		}
		if n := s.cents(t, "b"); n != 60 {
			t.Errorf("b has %d", n)
		}
	})
}

func TestRefusals(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		a := Do(s.add.Ref, "a", 1)
		many := make([]Part, MaxParticipants+1)
		for i := range many {
			many[i] = s.put("x")
		}
		for name, c := range map[string]struct {
			key   string
			parts []Part
			opts  []Option
			want  error
		}{
			"none":           {"k", nil, nil, semel.ErrInvalidRequest},
			"no key":         {"", []Part{a}, nil, semel.ErrKeyInvalid},
			"twice":          {"k", []Part{a, Do(s.look.Ref, "a", struct{}{})}, nil, semel.ErrInvalidRequest},
			"too many":       {"k", many, nil, semel.ErrInvalidRequest},
			"no participant": {"k", []Part{s.co.With("table", 1)}, nil, semel.ErrInvalidRequest},
			"no JSON":        {"k", []Part{s.co.With("shelf", func() {})}, nil, semel.ErrInvalidRequest},
			"bad JSON":       {"k", []Part{Act("purse", "a", "add", []byte(`{`))}, nil, semel.ErrInvalidRequest},
			"no action":      {"k", []Part{Act("purse", "e", "eat", nil), a}, nil, semel.ErrUnknownAction},
			"no type":        {"k", []Part{Act("bag", "e", "add", nil), a}, nil, semel.ErrUnknownAgentType},
			"a transaction":  {"k", []Part{Act(Type, "a", "run", nil), a}, nil, semel.ErrInvalidRequest},
			"no time":        {"k", []Part{a}, []Option{Within(time.Microsecond)}, semel.ErrInvalidRequest},
			"too much time":  {"k", []Part{a}, []Option{Within(25 * time.Hour)}, semel.ErrInvalidRequest},
			"bad tenant":     {"k", []Part{a}, []Option{Tenant("a/b")}, semel.ErrInvalidRequest},
		} {
			_, err := s.co.Run(t.Context(), c.key, c.parts, c.opts...)
			if !errors.Is(err, c.want) || semel.KindOf(err) != semel.KindNotDone {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
		// Whoever makes up the call of run is refused by the agent itself.
		_, err := s.app.Do(t.Context(), semel.Request{Type: Type, ID: "x", Action: "run", Key: "k", Body: []byte(`{"branches":[]}`)})
		if code(err) != CodeInvalid {
			t.Error(err)
		}
		_, err = s.app.Do(t.Context(), semel.Request{Type: Type, ID: agentID("default", "anonymous", "k"), Action: "run", Key: "k", Body: []byte(`{"branches":[]}`)})
		if code(err) != CodeInvalid {
			t.Error(err)
		}
		for e := range s.co.List(t.Context(), "") {
			t.Errorf("%+v", e)
		}
	})
}

func TestAbort(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		_, err := s.co.Run(t.Context(), "k", []Part{s.put("lamp"), Do(s.add.Ref, "a", 1), Do(s.add.Ref, "b", -1)})
		r, ok := RefusedOf(err)
		if code(err) != "insufficient_funds" || !ok || r.Branch != "3" || r.At != "purse/b" || string(r.Data) != "0" {
			t.Errorf("%v, %+v", err, r)
		}
		_, again := s.co.Run(t.Context(), "k", []Part{s.put("lamp"), Do(s.add.Ref, "a", 1), Do(s.add.Ref, "b", -1)})
		if fmt.Sprint(again) != fmt.Sprint(err) {
			t.Errorf("again: %v", again)
		}
		_, err = s.co.Run(t.Context(), "k2", []Part{Do(s.add.Ref, "a", 1), s.put("lamp"), s.co.With("shelf", put{No: "full"})})
		if r, _ := RefusedOf(err); code(err) != "full" || r.At != "shelf" {
			t.Errorf("%v, %+v", err, r)
		}
		synctest.Wait()
		if kept, prepared := s.shelf.goods(); kept != "" || prepared > 0 || s.cents(t, "a") != 0 {
			t.Errorf("%q is kept, %d prepared", kept, prepared)
		}
	})
}

// The time is over for all at once, whatever they wait for: an agent that
// somebody holds, and a participant that does not answer, whose late yes is
// answered by an abort.
func TestTimeoutOfRun(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		if _, err := s.grip.Call(t.Context(), "held", struct{}{}, semel.Key("g")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := s.co.Run(t.Context(), "k", []Part{Do(s.add.Ref, "a", 1), Do(s.add.Ref, "held", 1), s.put("lamp")}, Within(3*time.Second))
		if r, _ := RefusedOf(err); code(err) != CodeTimeout || r.At != "purse/held" || time.Since(began) > 4*time.Second {
			t.Errorf("%v, %+v, after %v", err, r, time.Since(began))
		}
		if n := s.cents(t, "a"); n != 0 || time.Since(began) > 4*time.Second {
			t.Errorf("a has %d, after %v", n, time.Since(began))
		}

		s.shelf.prepare = func(ctx context.Context, b Branch) (Vote, error) {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) > 3*time.Second {
				t.Errorf("a call of Prepare has until %v", d)
			}
			time.Sleep(20 * time.Second) // and it does not care for its context
			return s.shelf.shelf.Prepare(context.Background(), b)
		}
		began = time.Now()
		_, err = s.co.Run(t.Context(), "k2", []Part{Do(s.add.Ref, "a", 1), s.put("lamp")}, Within(3*time.Second))
		if code(err) != CodeTimeout || time.Since(began) > 4*time.Second {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
		i, err := s.co.Find(t.Context(), "k2")
		if err != nil || !i.InDoubt() {
			t.Errorf("its answer is not there: %+v, %v", i, err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if i, err = s.co.Find(t.Context(), "k2"); err != nil || i.InDoubt() || i.Branches[1].Vote != VoteYes {
			t.Errorf("%+v, %v", i, err)
		}
		if kept, prepared := s.shelf.goods(); kept != "" || prepared > 0 {
			t.Errorf("%q is kept, %d prepared", kept, prepared)
		}
		time.Sleep(10 * time.Minute) // the grip ends, and what waited votes no
		if n := s.cents(t, "held"); n != 0 {
			t.Errorf("held has %d", n)
		}
	})
}

// Transactions that want the same agents in opposite orders all come through.
func TestNoDeadlockAmongAgents(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				from, to := fmt.Sprint("p", i%5), fmt.Sprint("p", (i+1+i/5)%5)
				if from == to {
					to = "p9"
				}
				parts := []Part{Do(s.add.Ref, from, 1), Do(s.add.Ref, to, 1)}
				if i%2 == 0 {
					parts = []Part{parts[1], s.put("x"), parts[0]}
				}
				if _, err := s.co.Run(t.Context(), fmt.Sprint("k", i), parts); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		sum := s.cents(t, "p9")
		for i := range 5 {
			sum += s.cents(t, fmt.Sprint("p", i))
		}
		if sum != 120 {
			t.Errorf("%d were added", sum)
		}
	})
}

// A database that is away after the decision is told for as long as it takes, and
// people hear of it.
func TestInDoubt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		s.shelf.commits(errors.New("no route to host"))
		r, err := s.co.Run(t.Context(), "k", []Part{Do(s.add.Ref, "a", 1), s.put("lamp")})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + time.Second)
		i, err := s.co.Get(t.Context(), r.Tx)
		if b := i.Branches[1]; err != nil || !i.InDoubt() || b.Attempts < 10 || !strings.Contains(b.Error, "no route") || b.Again.IsZero() || !b.Acked.IsZero() {
			t.Errorf("%+v, %v", i, err)
		}
		if b := i.Branches[0]; b.Acked.IsZero() {
			t.Errorf("the agent: %+v", b)
		}
		if a := s.heard(); len(a) != 10 || a[0].Kind != AlarmInDoubt || a[0].Branch != "2" || a[0].At != "shelf" || !strings.Contains(a[0].Detail, "no route") {
			t.Errorf("%d alarms: %+v", len(a), a)
		}
		s.shelf.commits(nil)
		time.Sleep(time.Minute + time.Second)
		if i, err = s.co.Get(t.Context(), r.Tx); err != nil || i.InDoubt() {
			t.Errorf("%+v, %v", i, err)
		}
		if kept, prepared := s.shelf.goods(); kept != "lamp" || prepared > 0 {
			t.Errorf("%q is kept, %d prepared", kept, prepared)
		}
	})
}

// An operator ends what cannot end by itself.
func TestResolveByAnOperator(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *shop) {
		s.shelf.commits(errors.New("it burned"))
		r, err := s.co.Run(t.Context(), "k", []Part{Do(s.add.Ref, "a", 1), s.put("lamp")})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for name, want := range map[string]string{"1": CodeNotNeeded, "7": CodeUnknownBranch} {
			if err := s.co.Resolve(t.Context(), r.Tx, name, "ann", "no reason"); code(err) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.co.Resolve(t.Context(), r.Tx, "2", "ann", ""); code(err) != CodeInvalid {
			t.Error(err)
		}
		for range 2 {
			if err := s.co.Resolve(t.Context(), r.Tx, "2", "ann", "the disk is gone"); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		n := len(s.heard())
		i, err := s.co.Get(t.Context(), r.Tx)
		if err != nil || i.InDoubt() || i.Branches[1].Resolved.Why != "the disk is gone" {
			t.Errorf("%+v, %v", i, err)
		}
		time.Sleep(5 * time.Minute)
		if len(s.heard()) != n {
			t.Errorf("alarms after it was resolved: %+v", s.heard()[n:])
		}

		// Somebody rolled it back by hand.
		s.shelf.commits(semel.Reject("resolved_otherwise", "rolled back"))
		r, err = s.co.Run(t.Context(), "k2", []Part{Do(s.add.Ref, "a", 1), s.put("lamp")})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		i, err = s.co.Get(t.Context(), r.Tx)
		if err != nil || !i.InDoubt() || i.Branches[1].Mixed != "rolled back" {
			t.Errorf("%+v, %v", i, err)
		}
		if a := s.heard(); len(a) < n+100 || a[n].Kind != AlarmMixed || a[n].Tx != r.Tx {
			t.Errorf("%d alarms", len(a))
		}
		if err := s.co.Resolve(t.Context(), r.Tx, "2", "ann", "booked by hand"); err != nil {
			t.Error(err)
		}
		if i, err = s.co.Get(t.Context(), r.Tx); err != nil || i.InDoubt() || i.Branches[1].Mixed == "" {
			t.Errorf("%+v, %v", i, err)
		}
	})
}

// A program that has lost a participant goes on with the others, shows what is
// missing, and tells it when it is back.
func TestParticipantOfAnotherProgram(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, at := mem.New(), &unruly{shelf: newShelf()}
		live := func(registered bool, do func(*Coordinator)) {
			app, err := semel.Open(t.Context(), disk, nil)
			if err != nil {
				t.Fatal(err)
			}
			co := New(app, nil)
			co.Register("web", newShelf())
			if registered {
				co.Register("shelf", at)
			}
			do(co)
			synctest.Wait()
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		at.commits(errors.New("not now"))
		var tx string
		live(true, func(co *Coordinator) {
			r, err := co.Run(t.Context(), "k", []Part{co.With("shelf", put{What: "lamp"}), co.With("web", put{What: "cup"})})
			if err != nil {
				t.Fatal(err)
			}
			tx = r.Tx
			time.Sleep(3 * time.Second)
		})
		at.commits(nil)
		live(false, func(co *Coordinator) {
			if err := co.app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			i, err := co.Get(t.Context(), tx)
			if err != nil || !i.InDoubt() || i.Branches[0].Attempts < 3 || i.Branches[1].Acked.IsZero() {
				t.Errorf("%+v, %v", i, err)
			}
			for d, err := range co.app.DeadLetters(t.Context()) {
				t.Errorf("%+v, %v", d, err)
			}
		})
		live(true, func(co *Coordinator) {
			if err := co.app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			if i, err := co.Get(t.Context(), tx); err != nil || i.InDoubt() {
				t.Errorf("%+v, %v", i, err)
			}
		})
		if kept, prepared := at.goods(); kept != "lamp" || prepared > 0 {
			t.Errorf("%q is kept, %d prepared", kept, prepared)
		}
	})
}
