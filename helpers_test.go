package semel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens an App on a disk, a new one if disk is nil. It is closed when the
// test ends.
func open(t testing.TB, disk *mem.Disk, cfg semel.Config) *semel.App {
	t.Helper()
	if disk == nil {
		disk = mem.New()
	}
	if cfg.BackoffBase == 0 {
		cfg.BackoffBase, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	}
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	app, err := semel.Open(t.Context(), disk, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeApp(t, app) })
	return app
}

func closeApp(t testing.TB, app *semel.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := app.Close(ctx); err != nil && !errors.Is(err, mem.ErrCrashed) {
		t.Errorf("close: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// eventually waits for something that no test can be told of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // polls what nobody signals, such as the end of a retry
	}
}

func wantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("the error is %v, want %v", err, target)
	}
}

func wantRejection(t testing.TB, err error, code string) *semel.Rejection {
	t.Helper()
	var r *semel.Rejection
	if !errors.As(err, &r) || r.Code != code || semel.KindOf(err) != semel.KindRejected {
		t.Fatalf("the error is %v, want a rejection %q", err, code)
	}
	return r
}

// counter is the state of most tests: a number and a list of what happened.
type counter struct {
	Sum int64
	Log []string
}

type none = struct{}
