package semel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// AgentName names one agent: tenant, type and id. An empty tenant means the
// default one.
type AgentName = message.Agent

// ID identifies one message, effect, or dead letter for ever.
type ID = message.ID

// App is an open store with the agents and effects that run on it. First
// register everything ([NewAgent], [On], [Then], [Query], [NewEffect]), then
// use it; the first use starts it. Registering is for one goroutine; all else
// is safe for concurrent use.
type App struct {
	cfg     Config
	engine  *engine.Engine
	tracing *tracing

	mu       sync.Mutex // guards the registry until started
	started  atomic.Bool
	startErr error // set before started
	closed   atomic.Bool

	// The registry is only read once started is true.
	types   map[string]*agentType
	effects map[string]*core.Effect
	outside map[string]engine.Outside
}

// Open opens a store, such as pebble.At("data"). A nil cfg means the defaults;
// cfg is copied. Nothing is processed before Start or the first use. Cancelling
// ctx gives up opening, and means nothing later.
func Open(ctx context.Context, opener store.Opener, cfg *Config) (*App, error) {
	app := &App{
		types:   make(map[string]*agentType),
		effects: make(map[string]*core.Effect),
		outside: make(map[string]engine.Outside),
	}
	if cfg != nil {
		app.cfg = *cfg
	}
	if err := app.cfg.validate(); err != nil {
		return nil, err
	}
	app.tracing = newTracing(app.cfg.TracerProvider)
	e, err := engine.Open(ctx, opener, app.cfg.engine())
	if err != nil {
		return nil, fmt.Errorf("semel: open the store: %w", err)
	}
	app.engine = e
	return app, nil
}

// Start recovers what the store holds and begins to process it: messages,
// timers and effects that were under way go on. Nothing can be registered
// afterwards. Starting twice does nothing. An error means that the store
// cannot be used by this program, and Ready repeats it; Close the App. ctx is
// looked at before it begins; a recovery that began goes on to its end.
func (app *App) Start(ctx context.Context) error {
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.started.Load() {
		return app.startErr
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("semel: start: %w", err)
	}
	b := core.Behavior{Types: make(map[string]*core.Type, len(app.types)), Effects: app.effects}
	for name, t := range app.types {
		b.Types[name] = t.behavior
	}
	if err := app.engine.Start(b, app.outside); err != nil {
		app.startErr = fmt.Errorf("semel: start: %w", err)
	}
	app.started.Store(true)
	return app.startErr
}

// use starts the App on its first use.
func (app *App) use(ctx context.Context) error {
	if app.started.Load() && app.startErr == nil {
		return nil
	}
	if err := app.Start(ctx); err != nil {
		code := message.CodeStoreUnavailable
		switch {
		case app.closed.Load():
			code = message.CodeClosed
		case ctx.Err() != nil:
			code = message.CodeCanceled
		}
		return &NotDoneError{Code: code, Detail: err.Error(), Cause: err}
	}
	return nil
}

// Retention is how long a settled outcome is kept, at least.
func (app *App) Retention() time.Duration { return app.cfg.Retention }

// Incarnation tells this life of the store from any other, also from that of a
// backup of it: 32 hexadecimal digits, for names that are given away and come
// back, such as those of transactions.
func (app *App) Incarnation() string {
	inc := app.engine.Incarnation()
	return hex.EncodeToString(inc[:])
}

// Ready says whether calls are taken, and if not, why not.
func (app *App) Ready() error {
	if !app.started.Load() {
		return errors.New("not started")
	}
	if app.startErr != nil {
		return app.startErr
	}
	return app.engine.Ready()
}

// Close takes no more calls, begins no more effects, waits until the calls
// under way are answered and what the effects under way returned is recorded,
// and closes the store. Effects that were asked for and not begun are begun
// after the next start, and whatever else is accepted and not finished goes on
// then; a caller that waits for it is told so. If ctx ends first, the error
// names what still runs: a call under way is told that nobody knows, and an
// effect under way has its policy decide after the next start. Another Close
// waits for the first and returns the same.
func (app *App) Close(ctx context.Context) error {
	app.closed.Store(true)
	if err := app.engine.Close(ctx); err != nil {
		return fmt.Errorf("semel: close: %w", err)
	}
	return nil
}

// Leave gives the shards of a node of a cluster to the others, while it goes on
// answering: what is about them is asked there. It is for before Close, so that
// nobody waits for a node that stops; a node that nobody can replace keeps its
// shards. It returns when they are given, which waits for the effects that they
// have under way, or when ctx ends. It does nothing where there is no cluster.
func (app *App) Leave(ctx context.Context) error {
	if err := app.engine.Leave(ctx); err != nil {
		return fmt.Errorf("semel: leave: %w", err)
	}
	return nil
}

// Backup copies the store into a directory that does not exist yet, while it
// is in use. The copy has everything that was acknowledged when Backup was
// called. Not every store can: the error says so.
func (app *App) Backup(ctx context.Context, dir string) error {
	if err := app.use(ctx); err != nil {
		return err
	}
	if err := app.engine.Backup(ctx, dir); err != nil {
		return readError(ctx, AgentName{}, "backup to "+dir, err)
	}
	return nil
}

// ResumeRetention says that the clock is right after AlarmClockJump: forgetting
// outcomes older than the retention goes on.
func (app *App) ResumeRetention(ctx context.Context) error {
	if err := app.use(ctx); err != nil {
		return err
	}
	if err := app.engine.ResumeRetention(ctx); err != nil {
		var f *message.Fault
		if errors.As(err, &f) {
			return callError(ctx, AgentName{}, "resume retention", f, nil)
		}
		return readError(ctx, AgentName{}, "resume retention", err)
	}
	return nil
}
