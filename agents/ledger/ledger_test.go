package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failer is what a testing.TB and a rapid.T have in common here.
type failer interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

func open(t failer, disk *mem.Disk) (*semel.App, *ledger.Accounts) {
	t.Helper()
	app, err := semel.Open(context.Background(), disk, &semel.Config{BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return app, ledger.Register(app)
}

func closeApp(t failer, app *semel.App) {
	t.Helper()
	if err := app.Close(context.Background()); err != nil && !errors.Is(err, mem.ErrCrashed) {
		t.Errorf("close: %v", err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	app, accounts := open(t, mem.New())
	defer closeApp(t, app)
	max := fmt.Sprint(math.MaxInt64)
	for i, c := range []struct{ id, action, body, reply, code string }{
		{"alice", "open", `{"cents":100}`, `{"cents":100}`, ""},
		{"alice", "open", `{}`, "", "already_open"},
		{"alice", "debit", `{"cents":30}`, `{"cents":70}`, ""},
		{"alice", "debit", `{"cents":71}`, "", "insufficient_funds"},
		{"alice", "debit", `{"cents":0}`, "", "invalid_amount"},
		{"alice", "debit", `{"cents":-1}`, "", "invalid_amount"},
		{"alice", "credit", `{"cents":-1}`, "", "invalid_amount"},
		{"alice", "credit", `{}`, "", "invalid_amount"},
		{"alice", "credit", `{"cents":5}`, `{"cents":75}`, ""},
		{"alice", "credit", `{"cents":` + max + `}`, "", "overflow"},
		{"alice", "transfer", `{"cents":25,"to":"bob"}`, `{"to":"bob","cents":50}`, ""},
		{"alice", "transfer", `{"cents":51,"to":"bob"}`, "", "insufficient_funds"},
		{"alice", "transfer", `{"cents":0,"to":"bob"}`, "", "invalid_amount"},
		{"alice", "transfer", `{"cents":1}`, "", "invalid_account"},
		{"alice", "transfer", `{"cents":1,"to":".."}`, "", "invalid_account"},
		{"alice", "transfer", `{"cents":50,"to":"alice"}`, `{"to":"alice","cents":50}`, ""},
		{"alice", "transfer", `{"cents":51,"to":"alice"}`, "", "insufficient_funds"},
		{"bob", "open", `null`, `{"cents":25}`, ""}, // credited before it was opened
		{"carol", "credit", `{"cents":` + max + `}`, `{"cents":` + max + `}`, ""},
		{"carol", "open", `{"cents":1}`, "", "overflow"},
		{"carol", "open", `{"cents":-1}`, "", "invalid_amount"},
		{"carol", "open", ``, `{"cents":` + max + `}`, ""},
		{"alice", "transfer", `{"cents":1,"to":"carol"}`, "", "overflow"},
		{"carol", "transfer", `{"cents":` + max + `,"to":"carol"}`, `{"to":"carol","cents":` + max + `}`, ""},
	} {
		for range 2 {
			o, err := app.Do(t.Context(), semel.Request{Type: "account", ID: c.id, Action: c.action, Key: fmt.Sprint(i), Body: []byte(c.body)})
			var no *semel.Rejection
			errors.As(err, &no)
			if c.code == "" && (err != nil || string(o.Reply) != c.reply) || c.code != "" && (no == nil || no.Code != c.code) {
				t.Errorf("%s %s %s: %s, %v", c.id, c.action, c.body, o.Reply, err)
			}
		}
	}
	state, _, err := app.State(t.Context(), accounts.Name("alice"))
	if err != nil || string(state) != `{"cents":50,"pending":0,"opened":true}` {
		t.Errorf("%s, %v", state, err)
	}
	for body, code := range map[string]error{
		`{"cents":1.5}`: semel.ErrInvalidRequest, `{"cents":"1"}`: semel.ErrInvalidRequest,
		`{"cents":9223372036854775808}`: semel.ErrInvalidRequest, `{"cents":1,"cents":2}`: semel.ErrInvalidRequest,
	} {
		if _, err := app.Do(t.Context(), semel.Request{Type: "account", ID: "x", Action: "credit", Key: "bad", Body: []byte(body)}); !errors.Is(err, code) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// The refund of a transfer always finds room, even if its account was filled
// up meanwhile.
func TestRefundFindsRoom(t *testing.T) {
	t.Parallel()
	a := ledger.Account{Cents: math.MaxInt64}
	// As transfer leaves it.
	a.Cents, a.Pending = 0, math.MaxInt64
	if _, err := a.Credit(nil, ledger.Amount{Cents: 1}); err == nil {
		t.Errorf("%+v has no room for a refund", a)
	}
	a = ledger.Account{Cents: 5, Pending: 10}
	if _, err := a.Credit(nil, ledger.Amount{Cents: math.MaxInt64 - 15}); err != nil {
		t.Error(err)
	}
}

// Random transfers among accounts, some of them near the overflow, with
// repetitions and a crash: nothing is lost, nothing doubled, and every repeated
// call gets the recorded answer.
func TestTotalIsConserved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		disk := mem.New()
		app, accounts := open(t, disk)
		defer func() { closeApp(t, app) }()
		const n = 5
		id := func(i int) string { return fmt.Sprint("acc", i) }
		// Kept as two halves, because the sum of the balances is beyond int64.
		var want [2]uint64
		count := func(sum *[2]uint64, cents int64) {
			sum[0] += uint64(cents) >> 32
			sum[1] += uint64(cents) & math.MaxUint32
		}
		for i := range n {
			cents := rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(math.MaxInt64-1000, math.MaxInt64)).Draw(t, "first balance")
			if _, err := accounts.Open.Call(context.Background(), id(i), ledger.Open{Cents: cents}, semel.Key("open")); err != nil {
				t.Fatal(err)
			}
			count(&want, cents)
		}
		var requests []semel.Request
		for i := range rapid.IntRange(1, 40).Draw(t, "transfers") {
			in := ledger.Transfer{
				To:    id(rapid.IntRange(0, n-1).Draw(t, "to")),
				Cents: rapid.OneOf(rapid.Int64Range(-1, 1200), rapid.Int64Range(math.MaxInt64-1000, math.MaxInt64)).Draw(t, "cents"),
			}
			r := accounts.Transfer.Request(id(rapid.IntRange(0, n-1).Draw(t, "from")), in, semel.Key(fmt.Sprint(i)))
			requests = append(requests, r)
			if rapid.Bool().Draw(t, "twice") {
				requests = append(requests, r)
			}
		}
		crash := rapid.Bool().Draw(t, "crash")
		if crash {
			// Everything is accepted; what happens after the crash is recovery's.
			for _, err := range app.SubmitAll(context.Background(), requests) {
				if err != nil {
					t.Fatal(err)
				}
			}
			disk.Crash(0)
			closeApp(t, app)
			app, accounts = open(t, disk)
		}
		first := app.CallAll(context.Background(), requests)
		for i, again := range app.CallAll(context.Background(), requests) {
			if was, is := describe(first[i]), describe(again); was != is || !again.Replayed {
				t.Fatalf("a repeated call was answered %q, at first %q", is, was)
			}
		}
		var got [2]uint64
		for i := range n {
			a, _, err := accounts.Get(context.Background(), id(i))
			if err != nil || a.Cents < 0 || a.Pending != 0 {
				t.Fatalf("%s: %+v, %v", id(i), a, err)
			}
			count(&got, a.Cents)
		}
		norm := func(s [2]uint64) [2]uint64 { return [2]uint64{s[0] + s[1]>>32, s[1] & math.MaxUint32} }
		if norm(got) != norm(want) {
			t.Fatalf("the total was %v and is %v", want, got)
		}
	})
}

func describe(a semel.Answer) string {
	return fmt.Sprint(a.Status, string(a.Reply), a.Code, a.Detail, a.Err)
}

func Example() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	accounts := ledger.Register(app)

	_, _ = accounts.Open.Call(ctx, "alice", ledger.Open{Cents: 100}, semel.Key("open"))
	r, err := accounts.Transfer.Call(ctx, "alice", ledger.Transfer{To: "bob", Cents: 30}, semel.Key("tx-1"))
	reply, _ := json.Marshal(r)
	fmt.Println(string(reply), err)
	_, err = accounts.Debit.Call(ctx, "bob", ledger.Amount{Cents: 31}, semel.Key("tx-2"))
	fmt.Println(err)
	// Output:
	// {"to":"bob","cents":70} <nil>
	// semel: debit of account/bob: rejected (insufficient_funds): the balance is 30, less than 31
}

// The answer to a transfer of an account that was deleted meanwhile finds an
// account that never sent anything.
func TestDeletionDuringATransfer(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), &semel.Config{MaxAttempts: 2, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeApp(t, app) })
	accounts := ledger.Register(app)
	type none = struct{}
	hold := semel.On(accounts.Agent, "hold", func(_ *ledger.Account, s *semel.Step, _ none) (none, error) {
		s.Hold("token", time.Hour)
		return none{}, nil
	})
	release := semel.On(accounts.Agent, "release", func(_ *ledger.Account, s *semel.Step, _ none) (none, error) {
		s.Release()
		return none{}, nil
	})
	for _, c := range []struct {
		name    string
		bob     int64 // his balance: with the largest he refuses the credit
		refill  int64 // alice's balance after the deletion
		want    string
		outcome func(error) bool
	}{
		{"credited", 0, 0, `{"cents":0,"pending":0,"opened":false}`, func(err error) bool { return err == nil }},
		{"refunded", math.MaxInt64, 5, `{"cents":105,"pending":0,"opened":false}`, func(err error) bool {
			var no *semel.Rejection
			return errors.As(err, &no) && no.Code == ledger.CodeOverflow
		}},
		{"no room", math.MaxInt64, math.MaxInt64 - 99, fmt.Sprintf(`{"cents":%d,"pending":0,"opened":false}`, math.MaxInt64-99), func(err error) bool {
			return errors.Is(err, semel.ErrDead)
		}},
	} {
		alice, bob := "alice "+c.name, "bob "+c.name
		call := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		_, err := accounts.Open.Call(t.Context(), alice, ledger.Open{Cents: 100}, semel.Key("open"))
		call(err)
		_, err = accounts.Open.Call(t.Context(), bob, ledger.Open{Cents: c.bob}, semel.Key("open"))
		call(err)
		_, err = hold.Call(t.Context(), bob, none{}, semel.Key("hold"))
		call(err)
		in := ledger.Transfer{To: bob, Cents: 100}
		call(accounts.Transfer.Submit(t.Context(), alice, in, semel.Key("t")))
		for { // accepted is not yet executed
			a, _, err := accounts.Get(t.Context(), alice)
			call(err)
			if a.Pending == 100 {
				break
			}
		}
		call(accounts.Delete(t.Context(), alice))
		if c.refill > 0 {
			_, err = accounts.Credit.Call(t.Context(), alice, ledger.Amount{Cents: c.refill}, semel.Key("refill"))
			call(err)
		}
		_, err = release.Call(t.Context(), bob, none{}, semel.Key("release"), semel.Token("token"))
		call(err)
		if _, err = accounts.Transfer.Call(t.Context(), alice, in, semel.Key("t")); !c.outcome(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		state, _, err := app.State(t.Context(), accounts.Name(alice))
		if err != nil || string(state) != c.want {
			t.Errorf("%s: %s, %v", c.name, state, err)
		}
	}
}
