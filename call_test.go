package semel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// FAULTS 16.
func TestOneExecutionForManyConcurrentCalls(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	var runs atomic.Int64
	add := semel.On(agent, "add", func(c *counter, s *semel.Step, n int64) (string, error) {
		runs.Add(1)
		c.Sum += n
		return fmt.Sprintf("%d at %s by %s", c.Sum, s.Now().Format("15:04:05.000000000"), s.NewID()), nil
	})
	replies := make([]string, 100)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() {
			var err error
			if replies[i], err = add.Call(t.Context(), "a", 5, semel.Key("k")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range replies {
		if r != replies[0] {
			t.Fatalf("replies differ: %q and %q", r, replies[0])
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("%d executions", n)
	}
}

func TestRejectionIsRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	runs := 0
	take := semel.On(agent, "take", func(c *counter, s *semel.Step, n int64) (int64, error) {
		runs++
		c.Sum -= n // must leave no trace
		c.Log = append(c.Log, "took")
		return 0, fmt.Errorf("wrapped: %w", semel.Reject("too_little", "run %d", runs))
	})
	for range 3 {
		_, err := take.Call(t.Context(), "a", 5, semel.Key("k"))
		if r := wantRejection(t, err, "too_little"); r.Detail != "run 1" || r.Action != "take" || r.Agent.ID != "a" {
			t.Errorf("got %+v", r)
		}
	}
	if _, _, err := agent.Get(t.Context(), "a"); !errors.Is(err, semel.ErrUnknownAgent) {
		t.Errorf("a rejected step made an agent: %v", err)
	}
	o, err := app.Outcome(t.Context(), agent.Name("a"), "k")
	if err != nil || o.Status != message.StatusRejected || o.Code != "too_little" || o.Detail != "run 1" {
		t.Errorf("the outcome is %+v, %v", o, err)
	}
}

func TestKeepLetsARejectedStepStand(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	try := semel.On(agent, "try", func(c *counter, s *semel.Step, _ none) (none, error) {
		c.Sum++
		return none{}, semel.Reject("wrong_password", "").Keep()
	})
	for i := range 3 {
		_, err := try.Call(t.Context(), "a", none{}, semel.Key(fmt.Sprint(i)))
		wantRejection(t, err, "wrong_password")
	}
	if c, version, err := agent.Get(t.Context(), "a"); err != nil || c.Sum != 3 || version != 3 {
		t.Errorf("state %+v, version %d, %v", c, version, err)
	}
}

// FAULTS 17.
func TestConflictRevealsNothing(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	echo := semel.On(agent, "echo", func(_ *counter, _ *semel.Step, in string) (string, error) { return "secret " + in, nil })
	other := semel.On(agent, "other", func(_ *counter, _ *semel.Step, in string) (string, error) { return in, nil })
	must(echo.Call(t.Context(), "a", "one", semel.Key("k")))
	for name, call := range map[string]func() (string, error){
		"payload": func() (string, error) { return echo.Call(t.Context(), "a", "two", semel.Key("k")) },
		"action":  func() (string, error) { return other.Call(t.Context(), "a", "one", semel.Key("k")) },
	} {
		out, err := call()
		wantError(t, err, semel.ErrConflict)
		if out != "" || strings.Contains(err.Error(), "secret") || semel.KindOf(err) != semel.KindNotDone {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	// The same key of another agent, principal or tenant is another key.
	for name, call := range map[string]func() (string, error){
		"agent":     func() (string, error) { return echo.Call(t.Context(), "b", "two", semel.Key("k")) },
		"principal": func() (string, error) { return echo.Call(t.Context(), "a", "two", semel.Key("k"), semel.As("eve")) },
		"tenant":    func() (string, error) { return echo.Call(t.Context(), "a", "two", semel.Key("k"), semel.Tenant("t2")) },
	} {
		if out, err := call(); out != "secret two" || err != nil {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

// FAULTS 53, for a caller: nothing is recorded, so a retry runs.
func TestFailedHandlerIsNotDone(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	cause := errors.New("no disk today")
	runs := 0
	act := semel.On(agent, "act", func(c *counter, s *semel.Step, _ none) (int, error) {
		runs++
		c.Sum += 100
		c.Log = append(c.Log, "trace")
		switch runs {
		case 1:
			return 0, cause
		case 2:
			panic("oops")
		case 3:
			var nobody *counter
			nobody.Sum++ // a run-time panic
		}
		return runs, nil
	})
	_, err := act.Call(t.Context(), "a", none{}, semel.Key("k"))
	wantError(t, err, semel.ErrHandlerFailed)
	wantError(t, err, cause)
	if semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("kind %s", semel.KindOf(err))
	}
	for range 2 {
		_, err = act.Call(t.Context(), "a", none{}, semel.Key("k"))
		wantError(t, err, semel.ErrHandlerFailed)
	}
	if n, err := act.Call(t.Context(), "a", none{}, semel.Key("k")); n != 4 || err != nil {
		t.Errorf("the retry: %d, %v", n, err)
	}
	if c, _, err := agent.Get(t.Context(), "a"); err != nil || c.Sum != 100 || len(c.Log) != 1 {
		t.Errorf("failed steps left traces: %+v, %v", c, err)
	}
}

// FAULTS 18.
func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	act := semel.On(agent, "act", func(c *counter, s *semel.Step, _ none) (none, error) { return none{}, nil })
	for key, want := range map[string]error{
		"":                                     semel.ErrKeyRequired,
		strings.Repeat("k", 256):               semel.ErrKeyInvalid,
		"a\x00b":                               semel.ErrKeyInvalid,
		"\xff":                                 semel.ErrKeyInvalid,
		"ffffffff-ffff-7fff-bfff-ffffffffffff": semel.ErrKeyInFuture,
	} {
		_, err := act.Call(t.Context(), "a", none{}, semel.Key(key))
		wantError(t, err, want)
	}
	if _, err := act.Call(t.Context(), "a", none{}, semel.Key(strings.Repeat("k", 255))); err != nil {
		t.Error(err)
	}
}

func TestRequestsAreCheckedInOrder(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{MaxBody: 100})
	agent := semel.NewAgent[counter](app, "counter")
	semel.On(agent, "act", func(c *counter, s *semel.Step, n int) (int, error) { return n, nil })
	semel.Then(agent, "answered", func(c *counter, s *semel.Step, _ none, _ semel.Result[none]) (none, error) { return none{}, nil })
	semel.Query(agent, "look", func(c *counter, _ none) (int64, error) { return c.Sum, nil })
	good := semel.Request{Type: "counter", ID: "a", Action: "act", Key: "k", Body: []byte("1")}
	if o, err := app.Do(t.Context(), good); err != nil || string(o.Reply) != "1" || o.Replayed {
		t.Fatalf("%+v, %v", o, err)
	}
	// Each line has all of the next lines' mistakes too.
	for _, c := range []struct {
		name   string
		change func(*semel.Request)
		want   error
	}{
		{"type", func(r *semel.Request) { r.Type = "nothing" }, semel.ErrUnknownAgentType},
		{"action", func(r *semel.Request) { r.Action = "nothing" }, semel.ErrUnknownAction},
		{"continuation", func(r *semel.Request) { r.Action = "answered" }, semel.ErrUnknownAction},
		{"query", func(r *semel.Request) { r.Action = "look" }, semel.ErrUnknownAction},
		{"id", func(r *semel.Request) { r.ID = ".." }, semel.ErrInvalidRequest},
		{"principal", func(r *semel.Request) { r.Principal = "a\nb" }, semel.ErrInvalidRequest},
		{"no key", func(r *semel.Request) { r.Key = "" }, semel.ErrKeyRequired},
		{"key", func(r *semel.Request) { r.Key = "\n" }, semel.ErrKeyInvalid},
		{"size", func(r *semel.Request) { r.Body = []byte(strings.Repeat("[", 101)) }, semel.ErrTooLarge},
		{"syntax", func(r *semel.Request) { r.Body = []byte(`{"a":1,"a":2}`) }, semel.ErrInvalidRequest},
		{"recorded", func(r *semel.Request) { r.Body = []byte(`"two"`) }, semel.ErrConflict},
		{"shape", func(r *semel.Request) { r.Body, r.Key = []byte(`"two"`), "other" }, semel.ErrInvalidRequest},
	} {
		r := good
		r.Body = []byte(`"two"`)
		c.change(&r)
		_, err := app.Do(t.Context(), r)
		if !errors.Is(err, c.want) || semel.KindOf(err) != semel.KindNotDone {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// What does not fit was not recorded.
	r := good
	r.Key, r.Body = "other", []byte("2")
	if o, err := app.Do(t.Context(), r); err != nil || string(o.Reply) != "2" {
		t.Errorf("%+v, %v", o, err)
	}
	// Another spelling of the same body is the same request.
	r = good
	r.Body = []byte(" 1.0e0 ")
	if o, err := app.Do(t.Context(), r); err != nil || string(o.Reply) != "1" || !o.Replayed {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestRepliesAreKeptByteForByte(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	register := func(app *semel.App) {
		agent := semel.NewAgent[counter](app, "counter")
		semel.On(agent, "raw", func(c *counter, s *semel.Step, in json.RawMessage) (json.RawMessage, error) { return in, nil })
		semel.On(agent, "nothing", func(c *counter, s *semel.Step, _ none) (none, error) { return none{}, nil })
	}
	app := open(t, disk, semel.Config{})
	register(app)
	const body = `{ "b" : 1.50, "a":"<&>\u00e9" }`
	raw := semel.Request{Type: "counter", ID: "a", Action: "raw", Key: "k", Body: []byte(body)}
	nothing := semel.Request{Type: "counter", ID: "a", Action: "nothing", Key: "n"}
	for i := range 3 {
		if i == 2 {
			closeApp(t, app)
			app = open(t, disk, semel.Config{})
			register(app)
		}
		if o, err := app.Do(t.Context(), raw); err != nil || string(o.Reply) != body || o.Replayed != (i > 0) {
			t.Errorf("%d: %s, %v", i, o.Reply, err)
		}
		if o, err := app.Do(t.Context(), nothing); err != nil || string(o.Reply) != "null" || o.Replayed != (i > 0) {
			t.Errorf("%d: %s, %v", i, o.Reply, err)
		}
	}
}

func TestAtLeastOnceRunsDuplicates(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	add := semel.On(agent, "add", func(c *counter, s *semel.Step, n int64) (int64, error) {
		c.Sum += n
		return c.Sum, nil
	}, semel.AtLeastOnce)
	must(add.Call(t.Context(), "a", 1))
	must(add.Call(t.Context(), "a", 1, semel.Key("k")))
	if sum := must(add.Call(t.Context(), "a", 1, semel.Key("k"))); sum != 3 {
		t.Errorf("the sum is %d", sum)
	}
	if _, err := app.Outcome(t.Context(), agent.Name("a"), "k"); !errors.Is(err, semel.ErrUnknownKey) {
		t.Errorf("an outcome was recorded: %v", err)
	}
}

// AtMostOnce acknowledges before the commit is durable; a crash may lose it,
// but nothing runs twice.
func TestAtMostOnceDoesNotWait(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync())
	start := func() (*semel.Agent[counter], *semel.Action[int64, int64], *semel.App) {
		app := open(t, disk, semel.Config{})
		agent := semel.NewAgent[counter](app, "counter")
		add := semel.On(agent, "add", func(c *counter, s *semel.Step, n int64) (int64, error) {
			c.Sum += n
			return c.Sum, nil
		}, semel.AtMostOnce)
		return agent, add, app
	}
	_, add, _ := start()
	// Nothing is synced: with any other guarantee this would wait for ever.
	if sum := must(add.Call(t.Context(), "a", 1, semel.Key("k"))); sum != 1 {
		t.Fatalf("the sum is %d", sum)
	}
	disk.Crash(0)
	_, add, _ = start()
	if sum := must(add.Call(t.Context(), "a", 1, semel.Key("k"))); sum != 1 {
		t.Errorf("after the crash the sum is %d", sum)
	}
	disk.Crash(0) // so that closing need not wait for a sync
}

func TestCancelledBeforeItRan(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	hold := semel.On(agent, "hold", func(c *counter, s *semel.Step, _ none) (none, error) {
		s.Hold("token", 1e15)
		return none{}, nil
	})
	release := semel.On(agent, "release", func(c *counter, s *semel.Step, _ none) (int64, error) {
		s.Release()
		return c.Sum, nil
	})
	add := semel.On(agent, "add", func(c *counter, s *semel.Step, n int64) (int64, error) {
		c.Sum += n
		return c.Sum, nil
	})
	must(hold.Call(t.Context(), "a", none{}, semel.Key("hold")))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := add.Call(ctx, "a", 1, semel.Key("k"))
		done <- err
	}()
	cancel()
	err := <-done
	wantError(t, err, semel.ErrCanceled)
	wantError(t, err, context.Canceled)
	if semel.KindOf(err) != semel.KindNotDone {
		t.Error(err)
	}
	if sum := must(release.Call(t.Context(), "a", none{}, semel.Key("release"), semel.Token("token"))); sum != 0 {
		t.Errorf("the sum is %d", sum)
	}
	if sum := must(add.Call(t.Context(), "a", 1, semel.Key("k"))); sum != 1 {
		t.Errorf("the sum is %d", sum)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	add := semel.On(agent, "add", func(c *counter, s *semel.Step, n int64) (int64, error) {
		if n < 0 {
			return 0, semel.Reject("negative", "%d", n)
		}
		c.Sum += n
		return c.Sum, nil
	})
	var requests []semel.Request
	for i := range 300 {
		requests = append(requests, add.Request(fmt.Sprint(i%30), 1, semel.Key(fmt.Sprint(i))))
	}
	requests = append(requests,
		add.Request("0", -1, semel.Key("rejected")),
		add.Request("0", 1),                 // no key
		add.Request("0", 2, semel.Key("0")), // conflict
		add.Request("0", 1, semel.Key("0")), // repeated
	)
	for round := range 2 {
		answers := app.CallAll(t.Context(), requests)
		for i, a := range answers[:300] {
			if sum, err := add.Reply(a); err != nil || sum != int64(i/30)+1 || a.Replayed != (round == 1) {
				t.Fatalf("round %d: answer %d is %+v", round, i, a)
			}
		}
		wantRejection(t, answers[300].Err, "negative")
		wantError(t, answers[301].Err, semel.ErrKeyRequired)
		wantError(t, answers[302].Err, semel.ErrConflict)
		if sum, err := add.Reply(answers[303]); err != nil || sum != 1 || !answers[303].Replayed {
			t.Errorf("the repeated request: %+v", answers[303])
		}
	}
	for _, err := range app.SubmitAll(t.Context(), []semel.Request{
		add.Request("x", 7, semel.Key("k")), add.Request("x", -7, semel.Key("l")), add.Request("0", 1, semel.Key("0")),
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the submitted message", func() bool {
		c, _, err := agent.Get(t.Context(), "x")
		return err == nil && c.Sum == 7
	})
	if answers := app.CallAll(t.Context(), nil); len(answers) != 0 {
		t.Error("answers to nothing")
	}
}

// FAULTS 19.
func TestSequencedMessages(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	add := semel.On(agent, "add", func(c *counter, s *semel.Step, n int64) (int64, error) {
		c.Sum += n
		return c.Sum, nil
	})
	again := semel.On(agent, "add again", func(*counter, *semel.Step, int64) (none, error) { return none{}, nil }, semel.AtLeastOnce)
	submit := func(n int64, from semel.CallOption) {
		t.Helper()
		if err := add.Submit(t.Context(), "a", n, from); err != nil {
			t.Fatal(err)
		}
	}
	submit(1, semel.From("topic/0", "first", 1))
	submit(10, semel.From("topic/0", "first", 5))
	submit(10, semel.From("topic/0", "first", 5))    // redelivered
	submit(1, semel.From("topic/0", "first", 1))     // and what came before
	submit(100, semel.From("topic/1", "first", 1))   // another partition
	submit(1000, semel.From("topic/0", "second", 1)) // the topic was made again
	submit(10000, semel.From("topic/0f", "irst", 1)) // no name runs into its neighbour
	if c, _, _ := agent.Get(t.Context(), "a"); c.Sum != 11111 {
		t.Errorf("the sum is %d", c.Sum)
	}
	_, err := add.Call(t.Context(), "a", 1, semel.From("topic/0", "first", 9))
	wantError(t, err, semel.ErrInvalidRequest)
	for _, a := range app.CallAll(t.Context(), []semel.Request{add.Request("a", 1, semel.From("topic/0", "first", 9))}) {
		wantError(t, a.Err, semel.ErrInvalidRequest)
	}
	_, err = app.Do(t.Context(), add.Request("a", 1, semel.From("topic/0", "first", 9)))
	wantError(t, err, semel.ErrInvalidRequest)
	wantError(t, again.Submit(t.Context(), "a", 1, semel.From("topic/0", "first", 9)), semel.ErrInvalidRequest)
	wantError(t, add.Submit(t.Context(), "a", 1, semel.From("topic/0", "", 9)), semel.ErrInvalidRequest)
	wantError(t, add.Submit(t.Context(), "a", 1, semel.From("topic/0", "first", 0)), semel.ErrInvalidRequest)
	wantError(t, add.Submit(t.Context(), "a", 1, semel.From("topic/0", "first", 9), semel.Key("k")), semel.ErrInvalidRequest)
}

// A state that would be another one after a restart, or too large, is found by
// the step that makes it, however it is kept in memory.
func TestStatesThatAStepMayNotLeave(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{MaxState: 100})
	agent := semel.NewAgent[struct{ Text string }](app, "text")
	set := semel.On(agent, "set", func(st *struct{ Text string }, _ *semel.Step, in []byte) (none, error) {
		st.Text = string(in)
		return none{}, nil
	})
	must(set.Call(t.Context(), "a", []byte("café"), semel.Key("1")))
	for want, text := range map[string]string{
		"not valid UTF-8":              "caf\xc3",
		"at most 100 are allowed":      strings.Repeat("x", 100),
		"the state has 1011 bytes; at": strings.Repeat("x", 1000),
	} {
		_, err := set.Call(t.Context(), "a", []byte(text), semel.Key(want))
		wantError(t, err, semel.ErrHandlerFailed)
		if !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
	if st, _, err := agent.Get(t.Context(), "a"); err != nil || st.Text != "café" {
		t.Errorf("%+v, %v", st, err)
	}
}

// A nil pointer of a concrete type is not a nil error; it must be said, because
// what comes of it otherwise is a mystery.
func TestNilPointerAsError(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	check := func() *semel.Rejection { return nil }
	act := semel.On(agent, "act", func(*counter, *semel.Step, none) (none, error) { return none{}, check() })
	look := semel.Query(agent, "look", func(*counter, none) (none, error) { return none{}, check() })
	must(semel.On(agent, "add", add).Call(t.Context(), "a", 1, semel.Key("add")))
	_, err := act.Call(t.Context(), "a", none{}, semel.Key("k"))
	_, err2 := look.Ask(t.Context(), "a", none{})
	for _, err := range []error{err, err2} {
		wantError(t, err, semel.ErrHandlerFailed)
		if !strings.Contains(err.Error(), "a nil *semel.Rejection as its error") {
			t.Error(err)
		}
	}
}

func TestRejectionWithoutCode(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	act := semel.On(agent, "act", func(*counter, *semel.Step, none) (none, error) { return none{}, &semel.Rejection{Detail: "no"} })
	_, err := act.Call(t.Context(), "a", none{}, semel.Key("k"))
	wantRejection(t, err, "rejected")
}

// A recorded reply that this version of the program cannot read is no failure
// of the action.
func TestReplyThatDoesNotFit(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	app := open(t, disk, semel.Config{})
	number := semel.On(semel.NewAgent[counter](app, "counter"), "act", func(*counter, *semel.Step, none) (int, error) { return 7, nil })
	must(number.Call(t.Context(), "a", none{}, semel.Key("k")))
	closeApp(t, app)
	app = open(t, disk, semel.Config{})
	word := semel.On(semel.NewAgent[counter](app, "counter"), "act", func(*counter, *semel.Step, none) (string, error) { return "", nil })
	_, err := word.Call(t.Context(), "a", none{}, semel.Key("k"))
	wantError(t, err, semel.ErrReplyMisfit)
	var unknown *semel.UnknownError
	if !errors.As(err, &unknown) || unknown.Agent.ID != "a" || !strings.HasPrefix(err.Error(), "semel: act of counter/a: done, but not understood (reply_misfit): ") {
		t.Error(err)
	}
}

// What does not fit is told in the words of whoever sent it: of JSON, not of Go.
func TestMisfitsAreToldInJSON(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	type item struct {
		Count uint8   `json:"count"`
		Price float32 `json:"price"`
		Data  []byte  `json:"data"`
	}
	type order struct {
		Items []item `json:"items"`
		To    struct {
			Name *string `json:"name"`
		} `json:"to"`
		Tags map[string]bool `json:"tags"`
		Size [2]int32        `json:"size"`
	}
	semel.On(agent, "order", func(*counter, *semel.Step, order) (none, error) { return none{}, nil })
	for body, want := range map[string]string{
		`{"items":[{"count":256}]}`:    "items.count must be an integer from 0 to 255, and is a number 256",
		`{"items":[{"price":"x"}]}`:    "items.price must be a number within the range of floating point, and is a string",
		`{"items":[{"data":{}}]}`:      "items.data must be a string in base64, and is an object",
		`{"to":{"name":[1]}}`:          "to.name must be a string, and is an array",
		`{"to":true}`:                  "to must be an object, and is true or false",
		`{"tags":{"a":1}}`:             "tags must be true or false, and is a number",
		`{"size":[1.5]}`:               "size must be an integer from -2147483648 to 2147483647, and is a number 1.5",
		`"order"`:                      "the value must be an object, and is a string",
		`{"items":{"count":"secret"}}`: "items must be an array, and is an object",
	} {
		_, err := app.Do(t.Context(), semel.Request{Type: "counter", ID: "a", Action: "order", Key: "k", Body: []byte(body)})
		wantError(t, err, semel.ErrInvalidRequest)
		if !strings.HasSuffix(err.Error(), `: the body does not fit order of agent type "counter": `+want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
