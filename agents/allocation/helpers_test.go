package allocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failer is what a testing.TB and a rapid.T have in common here.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func open(t failer, disk *mem.Disk) (*semel.App, *allocation.Pools) {
	t.Helper()
	app, err := semel.Open(context.Background(), disk, &semel.Config{BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return app, allocation.Register(app)
}

func closeApp(t failer, app *semel.App) {
	t.Helper()
	if err := app.Close(context.Background()); err != nil && !errors.Is(err, mem.ErrCrashed) {
		t.Errorf("close: %v", err)
	}
}

// get is the pool's state, which must keep its laws.
func get(t failer, pools *allocation.Pools, id string) allocation.Pool {
	t.Helper()
	p, _, err := pools.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	sum, n := int64(0), 0
	for _, r := range p.Reservations.All() {
		sum += r.Units
		n++
		if r.Units <= 0 || r.Confirmed != r.Expires.IsZero() {
			t.Errorf("%+v", r)
		}
	}
	if p.Free < 0 || p.Free+sum != p.Capacity || n != p.Reservations.Len() {
		b, _ := json.Marshal(p)
		t.Fatalf("%d units in %d reservations of %s", sum, n, b)
	}
	return p
}

func code(err error) string {
	var no *semel.Rejection
	if errors.As(err, &no) {
		return no.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// call calls an action of the pool "p".
func call[In, Out any](act *semel.Action[In, Out], in In, key string, opts ...semel.CallOption) (Out, error) {
	return act.Call(context.Background(), "p", in, append(opts, semel.Key(key))...)
}
