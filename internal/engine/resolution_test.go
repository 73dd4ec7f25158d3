package engine_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

func TestFirstResolutionStands(t *testing.T) {
	accepted, tried := 0, 0
	for range 100 {
		disk := mem.New(mem.Shards(1), mem.RemoteReads())
		var armed atomic.Bool
		reached, cont := make(chan struct{}, 100), make(chan struct{})
		disk.Faults(func(_ message.Shard, u *message.Unit) mem.Fault {
			for _, w := range u.Writes {
				if armed.Load() && w.Table == message.TableEffect && w.Op == message.Delete {
					reached <- struct{}{}
					<-cont
				}
			}
			return mem.Fault{}
		})
		h := newHistory()
		outside := map[string]engine.Outside{"ask": {Call: func(context.Context, core.EffectJob) core.EffectResult {
			return core.EffectResult{Status: message.StatusUnknown}
		}}}
		boot := func() *engine.Engine {
			e, err := engine.Open(context.Background(), disk, engine.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Start(program(h), outside); err != nil {
				t.Fatal(err)
			}
			return e
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		e := boot()
		m, _ := op{agent: "a", action: "pay", order: order{Tag: "k", N: 1, Effect: "ask"}}.message()
		id := e.Submit(context.Background(), m, false).Outcome.Doubt
		e.Close(context.Background())
		e = boot() // the agent's state is not in memory now
		armed.Store(true)
		acked := make(chan core.Answer, 1)
		go func() {
			acked <- e.Resolve(context.Background(), id, core.Resolution{Status: message.StatusDone, Body: json.RawMessage(`"seen"`), By: "ann"})
		}()
		<-reached
		ok := false
		select {
		case r := <-acked:
			ok = r.Fault == nil
		case <-time.After(20 * time.Millisecond):
		}
		disk.Crash(0)
		armed.Store(false)
		close(cont)
		e.Close(now)
		if !ok {
			continue
		}
		tried++
		e = boot()
		if r := e.Resolve(context.Background(), id, core.Resolution{Status: message.StatusRejected, By: "bob"}); r.Fault == nil {
			accepted++
		}
		e.Close(now)
	}
	t.Logf("tried %d, accepted %d", tried, accepted)
	if accepted > 0 {
		t.Errorf("a second, different resolution was accepted after an acknowledged first one")
	}
}
