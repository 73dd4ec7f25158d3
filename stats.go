package semel

import (
	"time"

	"github.com/semel-dev/semel/internal/engine"
)

// Stats is a snapshot of an App: what was counted since it was opened, and
// where it stands. The counters measure work and prove nothing: what was in a
// commit that the store lost stays counted, and counts again when it runs again.
// The server's /metrics shows all of it (docs/reference/metrics.md).
type Stats struct {
	// Counted since Open.
	Steps            uint64 // handlers whose step stands: they replied, rejected, deferred, or said that nobody can know
	Rejections       uint64 // steps that rejected
	Replays          uint64 // duplicates suppressed: repetitions answered with what was recorded, or with what another caller's step brought
	Conflicts        uint64 // calls refused because their key was used for another request (ErrConflict)
	HandlerFailures  uint64 // handlers that returned an error or panicked, or whose step could not stand: nothing of it did
	HandlerPanics    uint64 // those that panicked
	Retries          uint64 // accepted messages that failed and were put off to be tried again
	Overloaded       uint64 // calls refused as ErrOverloaded
	StorageFull      uint64 // calls refused as ErrStorageFull
	EffectCalls      uint64 // calls of effects begun
	EffectProbes     uint64 // probes of effects begun
	Alarms           map[AlarmKind]uint64
	UnitBytes        Histogram // sizes of the units that were committed, or meant to be, in bytes of keys and values
	LargestUnitBytes int       // the largest of them
	CommitSeconds    Histogram // from the submission of a unit until it was known to be durable

	// Where it stands.
	CallsInFlight  int           // calls and reads from outside that wait for their answers
	QueueLength    int           // events that the shards have yet to look at
	OutboxLag      int           // messages between agents that were sent and not consumed
	EffectsPending int           // effects that are not settled, as App.Effects lists them
	EffectsRunning int           // calls and probes of effects under way, those that wait for the record of their start among them
	Doubts         int           // effects in doubt, as App.Doubts lists them
	OldestDoubt    time.Duration // since the call was begun that has been in question longest; 0 without doubts
	DeadLetters    int           // as App.DeadLetters lists them
	Shards         int           // 0 before Start
	ShardsDown     int           // shards that take no calls, and are being opened again
	ShardsPaused   int           // shards where retention waits for App.ResumeRetention
	AgentsCached   int           // agents in memory
	CacheBytes     int64         // that they are taken to need; at most Config.CacheBytes, unless more are in use at once
	StoreBytes     int64         // the store's size, at most a second old; -1 if the store cannot tell
	FreeBytes      int64         // room left on its device, at most a second old; -1 if the store cannot tell
}

// Histogram is how often a value was at most each of some bounds.
type Histogram struct {
	Bounds []float64 // growing; they are shared, and must not be changed
	Counts []uint64  // how many values were at most Bounds[i]
	Count  uint64    // of all values
	Sum    float64   // of all values
}

// Stats returns a snapshot. It is safe for concurrent use at any time, before
// Start and after Close too, and cheap: it waits neither for a shard nor for
// the store. An answer that a caller has is counted. Each shard's part is of
// one moment, but not all of the same.
func (app *App) Stats() Stats {
	e := app.engine.Stats()
	s := Stats{
		Steps: e.Steps, Rejections: e.Rejections, Replays: e.Replays, Conflicts: e.Conflicts,
		HandlerFailures: e.Failures, HandlerPanics: e.Panics, Retries: e.Retries,
		Overloaded: e.Overloaded, StorageFull: e.StorageFull, EffectCalls: e.Calls, EffectProbes: e.Probes,
		Alarms:    make(map[AlarmKind]uint64, len(e.Alarms)),
		UnitBytes: histogramOf(e.UnitSizes), LargestUnitBytes: e.LargestUnit, CommitSeconds: histogramOf(e.CommitTimes),

		CallsInFlight: e.CallsInFlight, QueueLength: e.QueueLength, OutboxLag: e.OutboxLag,
		EffectsPending: e.Effects, EffectsRunning: e.EffectsRunning, Doubts: e.Doubts, OldestDoubt: e.OldestDoubtAge,
		DeadLetters: e.Dead, Shards: e.Shards, ShardsDown: e.ShardsDown, ShardsPaused: e.ShardsPaused,
		AgentsCached: e.Agents, CacheBytes: int64(e.CachedBytes), StoreBytes: e.StoreBytes, FreeBytes: e.StoreSpace,
	}
	for kind, n := range e.Alarms {
		s.Alarms[AlarmKind(kind)] = n
	}
	return s
}

func histogramOf(h engine.Histogram) Histogram {
	return Histogram{Bounds: h.Bounds, Counts: h.Counts, Count: h.Count, Sum: h.Sum}
}
