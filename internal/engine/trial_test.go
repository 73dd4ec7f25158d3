package engine

import (
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// FAULTS 54: suspects are tried one at a time in the whole process, so that if
// it dies again, the one that ran is the one that did it. The turn goes round:
// to who waits longest, and past a shard that went down.
func TestOneSuspectAtATime(t *testing.T) {
	t.Parallel()
	e, err := Open(t.Context(), mem.New(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.store.Close()
	var shards []*shard
	for i := range 4 {
		shards = append(shards, newShard(e, message.Shard(i)))
	}
	// granted is whose turn it is, as the shards' loops hear of it.
	granted := func() (who []message.Shard) {
		for _, sh := range shards {
			for range sh.queue.take(nil) {
				who = append(who, sh.id)
			}
		}
		return who
	}
	only := func(when string, want message.Shard) {
		t.Helper()
		if who := granted(); len(who) != 1 || who[0] != want {
			t.Errorf("%s it is the turn of %v, not of %d alone", when, who, want)
		}
	}
	for _, sh := range shards {
		e.wantTrial(sh)
	}
	only("at first", 0)
	e.wantTrial(shards[2])
	if who := granted(); len(who) != 0 {
		t.Errorf("who asks again gets a turn beside another: %v", who)
	}
	e.leaveTrial(shards[2]) // it went down while it waited
	e.passTrial(shards[0])
	only("after the first", 1)
	if !e.hasTrial(shards[1]) || e.hasTrial(shards[0]) {
		t.Error("the turn is not with who was granted it")
	}
	e.leaveTrial(shards[1]) // and this one while it had the turn
	only("past the one that is down", 3)
	e.passTrial(shards[0]) // not its turn to give
	if who := granted(); len(who) != 0 || !e.hasTrial(shards[3]) {
		t.Errorf("somebody else's turn was passed on, to %v", who)
	}
}
