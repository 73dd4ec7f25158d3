package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// pause is between two questions about what is undecided. A doubt takes a person.
const pause = 50 * time.Millisecond

// lastBatch is how many calls go in one request at the end.
const lastBatch = 100

// drain sends every undecided key again until it is decided. It returns how many
// are not.
func (l *loader) drain(ctx context.Context) (left int) {
	open := l.undecided
	l.undecided = nil
	return l.decide(ctx, open, check.PhaseDrain, func(o *operation) { l.keep(&l.decided, o) })
}

// again sends every key that was decided once more: what was acknowledged must
// still be there, and must not be done again. The checker finds those that are
// not decided as before.
func (l *loader) again(ctx context.Context) {
	l.decide(ctx, l.decided, check.PhaseAgain, func(*operation) {})
}

// decide sends keys, many at a time, until all are decided. It gives up what is
// refused, and everything when none was decided for a long time, and returns how
// many are left.
func (l *loader) decide(ctx context.Context, rest []*operation, phase string, decided func(*operation)) (left int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(stuck, cancel)
	defer late.Stop()
	rest = sorted(rest)
	for len(rest) > 0 {
		var open []*operation
		for len(rest) > 0 && ctx.Err() == nil {
			answers := l.together(ctx, rest, phase)
			for i, o := range rest[:len(answers)] {
				switch a := &answers[i]; {
				case final(a):
					late.Reset(stuck)
					decided(o)
				case a.Type == check.Fail && !busy(a):
					left++ // the next answer would be the same; the checker will say what it thinks
				default:
					open = append(open, o)
				}
			}
			rest = rest[len(answers):]
		}
		if rest = append(open, rest...); len(rest) > 0 && !sleep(ctx, pause) {
			break
		}
	}
	return left + len(rest)
}

// sleep says whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// batchPath takes many calls in one request.
const batchPath = "/v1/calls"

// batchCall is a call in its object form.
type batchCall struct {
	Agent  string          `json:"agent"`
	Action string          `json:"action"`
	Key    string          `json:"key"`
	Body   json.RawMessage `json:"body"`
}

// batch sends calls in one request, and writes down what became of each.
func (l *loader) batch(ctx context.Context, calls []*operation, phase string) []check.Record {
	ids, wire := make([]string, len(calls)), make([]batchCall, len(calls))
	for i, o := range calls {
		ids[i], wire[i] = fmt.Sprintf("%d.%d", l.Number, l.ids.Add(1)), batchCall{o.agent, o.action, o.key, o.body()}
		rec := o.invoke(ids[i], phase, wire[i].Body)
		rec.Batch = len(calls)
		l.rec.write(rec)
	}
	answers := l.batchAnswers(ctx, calls, wire)
	at := l.rec.now()
	for i := range answers {
		answers[i].ID, answers[i].At = ids[i], at
		l.rec.write(answers[i])
	}
	return answers
}

func (l *loader) batchAnswers(ctx context.Context, calls []*operation, wire []batchCall) []check.Record {
	answers := make([]check.Record, len(calls))
	for i := range answers {
		answers[i] = lostReply()
	}
	body, err := json.Marshal(wire)
	if err != nil {
		panic(err) // it is of our own making
	}
	req, err := l.newRequest(ctx, http.MethodPost, batchPath, body)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Prefer", waitFor)
	status, _, text, err := do(l.client, req)
	var results []struct {
		Status   int             `json:"status"`
		Replayed bool            `json:"replayed"`
		Again    bool            `json:"asked_again"`
		Reply    json.RawMessage `json:"reply"`
		Problem  json.RawMessage `json:"problem"`
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(text, &results) != nil || len(results) != len(calls) {
		return answers
	}
	for i, r := range results {
		one := []byte(r.Reply)
		if r.Status != http.StatusOK {
			one = r.Problem
		}
		answers[i] = answered(calls[i], r.Status, one, r.Replayed, r.Again)
	}
	return answers
}

// newRequest makes a request that the transport does not send again by itself.
func newRequest(ctx context.Context, method, url string, body []byte) (*http.Request, error) {
	if body == nil {
		return http.NewRequestWithContext(ctx, method, url, nil)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}
