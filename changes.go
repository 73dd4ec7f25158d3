package semel

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// Position is a place in the change feed of one store. It may be stored, and
// put into a URL or a header; what it says is not for others.
type Position string

// FromStart begins with the oldest change that is remembered.
const FromStart = Position(engine.FromStart)

// ChangesQuery says which agents to follow, and from where.
type ChangesQuery struct {
	Tenant string // whose agents; empty for the default tenant
	Type   string // of the agents
	// From is the Position of the last Change that was dealt with; FromStart
	// for all that is remembered; empty to begin now, which is when
	// App.Changes is called.
	From Position
}

// Change says that an agent changed. It has the newest state that is durable,
// which may be newer than the change that it tells of.
type Change struct {
	Agent   AgentName
	Version uint64          // the number of steps that changed it since it began to exist
	State   json.RawMessage // it belongs to the receiver
	// Deleted: the agent does not exist any more, and Version and State are
	// zero. If it comes back, its versions begin again at 1.
	Deleted bool
	// Reset: changes may have been missed, because the position is older than
	// what is remembered, or is of another store or of a time before a backup.
	// List the agents (App.Agents, Agent.All) and forget those that are not
	// there; every change from now on comes behind. All else but Position is
	// zero.
	Reset bool
	// Position is where to go on when this change has been dealt with.
	Position Position
}

// Changes follows the agents of a type that change: a projection, a search
// index or a cache stays up to date by it. It needs Config.ChangeFeed. The
// iteration does not end by itself: it waits for the next change, until ctx
// ends (ErrCanceled), the App is closed (ErrClosed), a read fails
// (ErrStoreUnavailable), or the loop is left. An error is the last thing that
// it yields. Leaving it and going on from the last Position loses nothing.
//
// Every change of an agent that was acknowledged, or became durable in any
// other way, is followed by a Change that has it or a newer one: several may
// come as one, and one may come twice (at-least-once), above all after a
// reconnection. The changes of one agent, and of all agents of a shard, come in
// the order of the shard's commits; between shards there is no order. What
// comes later of an agent is never older than what came before; to compare it
// with what was read elsewhere, compare versions.
//
// Changes are remembered as long as outcomes: at least Config.Retention, in
// generations of an eighth of that. A position from before that yields one
// Change with Reset first. An error with an Agent says that this agent's state
// cannot be decoded by this program; its Position is behind the agent, so that
// the others can be followed on.
//
// The iteration runs in the caller's goroutine and starts none. A receiver that
// is slow costs nothing but the reads that it makes; it gets fewer and newer
// states. Any number may follow at once.
func (app *App) Changes(ctx context.Context, q ChangesQuery) iter.Seq2[Change, error] {
	what := "follow agents of type " + q.Type
	err := app.use(ctx)
	var changes iter.Seq2[engine.Change, error]
	if err == nil {
		if q.Tenant == "" {
			q.Tenant = message.DefaultTenant
		}
		changes = app.engine.Changes(ctx, q.Tenant, q.Type, engine.Position(q.From)) // now, not when the loop begins
	}
	return func(yield func(Change, error) bool) {
		if err != nil {
			yield(Change{}, err)
			return
		}
		for c, err := range changes {
			if err != nil {
				err = readError(ctx, c.Agent, what, err)
			}
			change := Change{
				Agent: c.Agent, Version: c.Version, State: c.State,
				Deleted: c.Deleted, Reset: c.Reset, Position: Position(c.Position),
			}
			if !yield(change, err) {
				return
			}
		}
	}
}

// FeedPosition is where the change feed is now. What is read after it, such as
// a list of the agents, together with the changes from this position on misses
// nothing. It needs Config.ChangeFeed.
func (app *App) FeedPosition(ctx context.Context) (Position, error) {
	if err := app.use(ctx); err != nil {
		return "", err
	}
	p, err := app.engine.FeedPosition()
	if err != nil {
		return "", readError(ctx, AgentName{}, "read the position of the change feed", err)
	}
	return Position(p), nil
}
