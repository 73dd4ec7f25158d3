package semeltest

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a case in a bubble of its own, and says why it did not come to
// its end, if it did not. Two mistakes of a program do that, and neither may
// take the whole test binary with it: a goroutine that waits where the bubble
// cannot see that it waits, for which the bubble's clock stands still for ever;
// and one that is left over when the case is over.
//
// Who sees the first must be outside of the bubble, and go by the machine's
// clock: moved counts what the case does, and it hangs if that does not change
// for as long as hang. Its goroutines are then left to themselves.
func bubble(t *testing.T, hang time.Duration, moved *atomic.Uint64, run func()) (wrong string, hangs bool) {
	ended := make(chan string, 1)
	go func() {
		defer close(ended) // also if the workload ends its goroutine
		defer func() {
			if v := recover(); v != nil {
				err, ok := v.(error)
				if !ok || !strings.HasPrefix(err.Error(), "deadlock:") {
					panic(v)
				}
				ended <- err.Error()
			}
		}()
		synctest.Test(t, func(*testing.T) { run() })
		ended <- ""
	}()
	tick := time.NewTicker(hang)
	defer tick.Stop()
	for was := moved.Load(); ; {
		select {
		case wrong, ok := <-ended:
			if !ok {
				runtime.Goexit()
			}
			return wrong, false
		case <-tick.C:
		}
		now := moved.Load()
		if now == was {
			return fmt.Sprintf("nothing has moved for %v of the machine's time: something waits that the bubble cannot see. "+
				"Most likely a sync.Mutex is held around semeltest.Call, Find or an HTTP request, where the program waits for its turn: use a channel of capacity 1 instead, or RealTime. "+
				"A connection, or a goroutine from outside of the case, does the same.%s", hang, waiting()), true
		}
		was = now
	}
}

// waiting is the stack of a goroutine in a bubble that waits and does not let
// the bubble's clock go on.
func waiting() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if !strings.Contains(head, "synctest bubble") || strings.Contains(head, "durable") {
			continue
		}
		for _, state := range []string{"sync.", "IO wait", "chan ", "select"} {
			if strings.Contains(head, "["+state) {
				return " One that waits:\n" + g
			}
		}
	}
	return ""
}
