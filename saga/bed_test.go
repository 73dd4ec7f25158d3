package saga_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
	"github.com/semel-dev/semel/store/mem"
)

// bed is where a saga is tested without crashes: an App in a bubble, where hours
// take no time, and a World.
type bed struct {
	*testing.T
	ctx  context.Context
	disk *mem.Disk
	w    *semeltest.World
	weather
	app *semel.App
	g   *saga.Registry

	retention time.Duration

	mu     sync.Mutex
	alarms []saga.Alarm
}

// trial runs a test in a bubble. register makes the definitions.
func trial(t *testing.T, register func(*bed), test func(*bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{T: t, ctx: t.Context(), disk: mem.New(), w: semeltest.NewWorld(), weather: weather{
			faults: make(map[string]func(semeltest.Record) semeltest.Fault), gates: make(map[string]chan struct{}),
		}}
		b.open(register)
		test(b)
		b.close()
	})
}

func (b *bed) open(register func(*bed)) {
	b.Helper()
	app, err := semel.Open(b.ctx, b.disk, &semel.Config{BackoffBase: time.Millisecond, BackoffMax: time.Second, Retention: b.retention, Fatal: func(error) {}})
	if err != nil {
		b.Fatal(err)
	}
	b.app = app
	b.g = saga.Register(app, &saga.Config{OnAlarm: func(a saga.Alarm) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.alarms = append(b.alarms, a)
	}})
	register(b)
	_ = app.Start(b.ctx) // or the first call says why not
}

func (b *bed) close() {
	b.Helper()
	if err := b.app.Close(context.Background()); err != nil {
		b.Error(err)
	}
}

// reopen ends the program, whatever it is at, and starts it again, perhaps as
// another one. Calls of services wait no more.
func (b *bed) reopen(register func(*bed)) {
	b.Helper()
	b.shut()
	clear(b.gates)
	b.open(register)
}

func (b *bed) shut() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.app.Close(ctx) // it says what still ran
	synctest.Wait()
}

// start starts a trip and waits until it is at its end or parked.
func (b *bed) start(trips *saga.Definition[Trip], key string, in Trip) saga.View {
	b.Helper()
	id, err := trips.Start(b.ctx, key, in)
	if err != nil {
		b.Fatal(err)
	}
	return b.wait(id)
}

func (b *bed) wait(id string) saga.View {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Hour)
	defer cancel()
	v, err := ended(ctx, b.g, id)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func (b *bed) get(id string) saga.View {
	b.Helper()
	v, err := b.g.Get(b.ctx, id)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// phase checks where a saga stands.
func (b *bed) phase(v saga.View, want saga.Phase) {
	b.Helper()
	if v.Phase != want {
		b.Fatalf("the saga is %s (%+v, %+v), not %s", v.Phase, v.Failure, v.Parked, want)
	}
}

// books checks how often each service did its part and was undone:
// flight, hotel, pay.
func (b *bed) books(did, undid [3]int) {
	b.Helper()
	for i, name := range services {
		if n, m := b.w.Service(name).Count(), b.w.Service("undo-"+name).Count(); n != did[i] || m != undid[i] {
			b.Errorf("%s happened %d times and was undone %d times, not %d and %d", name, n, m, did[i], undid[i])
		}
	}
}

// alarmed checks which alarms there were.
func (b *bed) alarmed(codes ...string) {
	b.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []string
	for _, a := range b.alarms {
		got = append(got, a.Code)
	}
	if len(got) != len(codes) {
		b.Fatalf("alarms %q, not %q", got, codes)
	}
	for i := range codes {
		if got[i] != codes[i] {
			b.Fatalf("alarms %q, not %q", got, codes)
		}
	}
}

// rejected is the rejection with a code, or the end of the test.
func (b *bed) rejected(err error, code string) *semel.Rejection {
	b.Helper()
	var no *semel.Rejection
	if !errors.As(err, &no) || no.Code != code {
		b.Fatalf("%v; wanted a rejection %q", err, code)
	}
	return no
}

// three registers the services and a definition with one version.
func three(trips **saga.Definition[Trip], policy string, v saga.Version[Trip]) func(*bed) {
	return func(b *bed) {
		outside(b.app, b.w, policy, &b.weather)
		*trips = saga.New(b.g, "trip", v)
	}
}

// steps is a version of steps one after the other.
func steps(all ...saga.Step[Trip]) saga.Version[Trip] {
	v := saga.Version[Trip]{Number: 1}
	for _, s := range all {
		v.Stages = append(v.Stages, s)
	}
	return v
}
