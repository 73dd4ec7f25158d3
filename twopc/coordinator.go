package twopc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/semel-dev/semel"
)

// Type is the agent type of transactions.
const Type = "transaction"

// Config tunes a Coordinator. The zero value of a field means its default, so
// nil and &Config{} are good configurations. All processes of one store should
// have the same.
type Config struct {
	// Timeout is how long a transaction may take to be decided, if Run is not
	// told otherwise. 30 s. What is prepared blocks others meanwhile.
	Timeout time.Duration
	// CallTimeout bounds one call of a participant. 30 s.
	CallTimeout time.Duration
	// RetryBase and RetryMax bound the waits between attempts to tell a
	// participant of a decision, which grow and never end. 1 s and 1 min.
	RetryBase, RetryMax time.Duration
	// AlarmAfter is how long after a decision a branch may stay without having
	// acknowledged it before somebody is told, and told again. 1 min.
	AlarmAfter time.Duration
	// Keep is how long Get and List still find a transaction of which everybody
	// was told. 1 hour. The outcome of Run is kept as any outcome is, for
	// semel.Config.Retention.
	Keep time.Duration
	// OnAlarm is called for each alarm, besides the log, in a goroutine of an
	// effect's call, and by Sweep. The same alarm may come more than once.
	OnAlarm func(Alarm)
	// Logger hears of alarms and of what Watch does. Nothing is logged by default.
	Logger *slog.Logger
}

// Alarm is something that a person should look at.
type Alarm struct {
	Kind   AlarmKind `json:"kind"`
	Tx     string    `json:"tx"`
	Branch string    `json:"branch"`
	At     string    `json:"at"` // the participant, or the agent
	Detail string    `json:"detail,omitempty"`
}

// AlarmKind names what happened.
type AlarmKind string

// The alarms.
const (
	AlarmInDoubt AlarmKind = "in_doubt" // a branch has not acknowledged the decision for a while
	AlarmMixed   AlarmKind = "mixed"    // a branch was resolved against the decision
)

// Coordinator runs transactions. Register what takes part in them before the App
// is started; all else is safe for concurrent use.
type Coordinator struct {
	app          *semel.App
	cfg          Config
	rules        rules
	incarnation  string
	agents       *semel.Agent[transaction]
	participants map[string]Participant
	tenants      tenants
}

// New registers the agent type "transaction", and what belongs to it. It panics
// if the App was started, if it has a coordinator already, and if a time in cfg
// is negative.
func New(app *semel.App, cfg *Config) *Coordinator {
	c := &Coordinator{app: app, participants: make(map[string]Participant)}
	if cfg != nil {
		c.cfg = *cfg
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
		name  string
	}{
		{&c.cfg.Timeout, 30 * time.Second, "Timeout"},
		{&c.cfg.CallTimeout, 30 * time.Second, "CallTimeout"},
		{&c.cfg.RetryBase, time.Second, "RetryBase"},
		{&c.cfg.RetryMax, time.Minute, "RetryMax"},
		{&c.cfg.AlarmAfter, time.Minute, "AlarmAfter"},
		{&c.cfg.Keep, time.Hour, "Keep"},
	} {
		if *d.value < 0 {
			panic(fmt.Sprintf("twopc: config: %s is %v; it must be positive, or 0 for the default", d.name, *d.value))
		}
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.cfg.Logger == nil {
		c.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c.rules = rules{
		retryBase: min(c.cfg.RetryBase, c.cfg.RetryMax), retryMax: c.cfg.RetryMax,
		alarmAfter: c.cfg.AlarmAfter, keep: c.cfg.Keep,
	}
	c.incarnation = app.Incarnation()
	c.registerAgent()
	c.tenants.register(app)
	semel.NewEffect(app, alarmEffect, c.raise, semel.ReadOnly, semel.Attempts(3))
	return c
}

// Register makes a participant outside known by a name, which transactions
// under way remember: keep it. It panics if the name is taken or invalid, if p
// is nil, and if the App was started.
func (c *Coordinator) Register(name string, p Participant) {
	if p == nil {
		panic(fmt.Sprintf("twopc: participant %q is nil", name))
	}
	registerOutside(c.app, name, p, c.cfg.CallTimeout)
	c.participants[name] = p
}

const alarmEffect = "twopc.alarm"

// raise tells people. It is an effect's function, because a step cannot.
func (c *Coordinator) raise(_ context.Context, _ semel.EffectCall, a Alarm) (struct{}, error) {
	c.alarm(a)
	return struct{}{}, nil
}

func (c *Coordinator) alarm(a Alarm) {
	c.cfg.Logger.Warn("a branch of a transaction needs a look", "alarm", a.Kind, "tx", a.Tx, "branch", a.Branch, "at", a.At, "detail", a.Detail)
	if c.cfg.OnAlarm != nil {
		c.cfg.OnAlarm(a)
	}
}
