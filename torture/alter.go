package torture

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/semel-dev/semel/torture/check"
)

// Using a key for something else is judged only after an answer that says that
// the server durably knows the key: of two requests that race for it, either may
// be the first, and then the other one is the conflict. Such an answer is a
// decision, in_doubt, or what comes to respond-async.

// staysOpen says that it takes a moment from accepting it to its decision, so
// that there is something to hear in between.
func (o *operation) staysOpen() bool {
	return o.kind == check.OpTransfer || o.kind == check.OpEffect || o.kind == check.OpTransaction
}

// open says that the server has accepted the key for good, and not decided it.
func open(answer *check.Record) bool { return answer.Status == http.StatusAccepted }

// alter uses a key that the server knows for something else. Every other time that
// comes together with a repetition, which it must not be taken for.
func (l *loader) alter(ctx context.Context, o *operation, rng *rand.Rand) {
	other := o.altered(rng)
	var both sync.WaitGroup
	if rng.IntN(2) == 0 {
		both.Go(func() { l.send(ctx, o, check.PhaseLoad, waitFor) })
	}
	l.send(ctx, other, check.PhaseAltered, waitFor)
	both.Wait()
}
