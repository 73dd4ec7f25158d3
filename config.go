package semel

import (
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
)

// Config tunes an App. The zero value of a field means its default, so nil and
// &Config{} are good configurations.
type Config struct {
	// Retention is how long a settled outcome is kept, at least: a repetition
	// within it gets the recorded reply. 24 hours. What is not settled is kept
	// until it is.
	Retention time.Duration
	// Skew is how far a key's own time (UUIDv7, ULID) may be ahead of our
	// clock. 5 minutes.
	Skew time.Duration
	// MaxClockJump is the longest leap of the wall clock across a restart that
	// is believed. After a longer one nothing is forgotten until
	// App.ResumeRetention. As Retention.
	MaxClockJump time.Duration
	// CacheBytes bounds the decoded states in memory. 256 MiB.
	CacheBytes int
	// MaxInFlight bounds the calls that wait for their answer; more are refused
	// before they are accepted (ErrOverloaded); of a batch, the last ones. As
	// many again may wait for replays. 16384.
	MaxInFlight int
	// MaxState bounds an agent's encoded state, in bytes. 1 MiB.
	MaxState int
	// MaxBody bounds the body of a call, in bytes. 1 MiB.
	MaxBody int
	// MaxAttempts is how often an accepted message is tried before it is a
	// dead letter. 10.
	MaxAttempts int
	// EffectsRunning bounds the effects called at once. Each shard has its share
	// of it, and all effects that one agent asked for are in one shard. 1024.
	EffectsRunning int
	// Guest opens the store of another program to look into it: effects are left
	// as they are, until the program that has them opens the store again, and
	// nothing is forgotten, because how long is that program's to say.
	Guest bool
	// BackoffBase and BackoffMax bound the waits between attempts, which are
	// drawn with full jitter. 50 ms and 30 s.
	BackoffBase, BackoffMax time.Duration
	// ChangeFeed keeps what App.Changes reads: with each commit, the names of
	// the agents that it changed, for as long as outcomes are kept. It is off
	// by default and costs nothing then. Without it, what was remembered
	// before is forgotten at the next start.
	ChangeFeed bool
	// Owner says who we are in the store's records. Host name and process id.
	Owner string
	// Cluster is how this process and others that have the same store open reach
	// each other. Nil for a store that one process has for itself.
	Cluster *Cluster
	// Logger hears what an operator should know. Nothing is logged by default.
	Logger *slog.Logger
	// TracerProvider, if set, gets spans of calls, steps and effects
	// (OpenTelemetry), and the trace that a call belongs to goes with what it
	// causes. Nil traces nothing.
	TracerProvider trace.TracerProvider
	// Fatal is told that the storage device failed. It must end the process,
	// because only recovery can say what the device holds; by default it does.
	Fatal func(error)
	// OnAlarm is called for each alarm, besides the log. It must not block.
	OnAlarm func(Alarm)
}

// An Alarm is something that a person should look at.
type Alarm struct {
	Kind   AlarmKind
	Agent  AgentName
	ID     ID // of the effect or message
	Detail string
}

// AlarmKind names what happened.
type AlarmKind string

// The alarms.
const (
	AlarmDoubt     AlarmKind = AlarmKind(core.AlarmDoubt)     // an effect is in doubt: see App.Doubts
	AlarmConflict  AlarmKind = AlarmKind(core.AlarmConflict)  // a late answer contradicts how a doubt was settled
	AlarmDead      AlarmKind = AlarmKind(core.AlarmDead)      // a message became a dead letter: see App.DeadLetters
	AlarmClockJump AlarmKind = AlarmKind(core.AlarmClockJump) // retention is paused: see App.ResumeRetention
	AlarmCorrupt   AlarmKind = AlarmKind(core.AlarmCorrupt)   // a stored row cannot be read; its agent stands still
	AlarmShardDown AlarmKind = AlarmKind(core.AlarmShardDown) // a shard was opened again and again, and comes no further
)

const (
	defaultMaxBody   = 1 << 20
	defaultRetention = 24 * time.Hour
)

// validate refuses what cannot be meant, and fills in the defaults that are
// this package's own.
func (c *Config) validate() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Retention", c.Retention}, {"Skew", c.Skew}, {"MaxClockJump", c.MaxClockJump},
		{"BackoffBase", c.BackoffBase}, {"BackoffMax", c.BackoffMax},
	} {
		if d.value < 0 {
			return fmt.Errorf("semel: config: %s is %v; it must be positive, or 0 for the default", d.name, d.value)
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"CacheBytes", c.CacheBytes}, {"MaxInFlight", c.MaxInFlight}, {"MaxState", c.MaxState}, {"MaxBody", c.MaxBody},
		{"MaxAttempts", c.MaxAttempts}, {"EffectsRunning", c.EffectsRunning},
	} {
		if n.value < 0 {
			return fmt.Errorf("semel: config: %s is %d; it must be positive, or 0 for the default", n.name, n.value)
		}
	}
	if c.BackoffBase > 0 && c.BackoffMax > 0 && c.BackoffBase > c.BackoffMax {
		return fmt.Errorf("semel: config: BackoffBase (%v) is above BackoffMax (%v)", c.BackoffBase, c.BackoffMax)
	}
	if err := c.Cluster.validate(); err != nil {
		return err
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.Retention == 0 {
		c.Retention = defaultRetention
	}
	return nil
}

// engine is what the engine is told.
func (c *Config) engine() engine.Config {
	e := engine.Config{
		Retention: c.Retention, Skew: c.Skew, MaxClockJump: c.MaxClockJump,
		CacheBytes: c.CacheBytes, MaxInFlight: c.MaxInFlight, MaxState: c.MaxState,
		MaxAttempts: c.MaxAttempts, EffectsRunning: c.EffectsRunning,
		BackoffBase: c.BackoffBase, BackoffMax: c.BackoffMax,
		Feed: c.ChangeFeed, Guest: c.Guest,
		Owner: c.Owner, Logger: c.Logger, Fatal: c.Fatal,
	}
	if c.Cluster != nil {
		e.Address, e.Peers = c.Cluster.Address, peers(c.Cluster.Ask)
	}
	if hear := c.OnAlarm; hear != nil {
		e.OnAlarm = func(a core.Alarm) {
			hear(Alarm{Kind: AlarmKind(a.Kind), Agent: a.Agent, ID: a.ID, Detail: a.Detail})
		}
	}
	return e
}
