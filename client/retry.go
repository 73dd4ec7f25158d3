package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// maxRetryAfter is the longest wait that a server can ask for. Who asks for
// more is not waited for at all: the caller hears of it at once.
const maxRetryAfter = 5 * time.Minute

// history is what the attempts of one request brought so far.
type history struct {
	attempts int
	failures int   // attempts that count against Options.Retries
	unknown  error // of the last attempt that may have taken effect
}

// add takes the failure of one attempt.
func (h *history) add(err error) {
	h.attempts++
	if semel.KindOf(err) == semel.KindUnknown {
		h.unknown = err
	}
}

// result is the error of the whole request whose last attempt failed so. An
// attempt that was refused says nothing of an earlier one that may have taken
// effect. Only a conflict does: had the earlier one been recorded, the last one
// would have been a repetition of it.
func (h *history) result(last error) error {
	if h.unknown == nil || semel.KindOf(last) != semel.KindNotDone || errors.Is(last, semel.ErrConflict) {
		return last
	}
	var before *semel.UnknownError
	if !errors.As(h.unknown, &before) {
		return last
	}
	return &semel.UnknownError{
		Agent: before.Agent, Action: before.Action, Code: before.Code, Ref: before.Ref, Cause: last,
		Detail: "an earlier attempt may have taken effect (" + before.Detail + "), and the last one said nothing of it: " + last.Error(),
	}
}

// retry says whether a request that failed so is sent again, and after what wait.
func (c *Client) retry(ctx context.Context, n nature, h *history, err error) (wait time.Duration, again bool) {
	again, counts, after := next(err)
	if !again || ctx.Err() != nil || n == once && semel.KindOf(err) != semel.KindNotDone {
		return 0, false
	}
	if counts {
		if h.failures >= c.opt.Retries {
			return 0, false
		}
		h.failures++
	}
	wait = c.backoff(max(h.failures, 1))
	if after > 0 {
		// Not to the moment: the others who were sent away would all come.
		wait = max(wait, after+rand.N(c.opt.BackoffBase))
	}
	if deadline, ok := ctx.Deadline(); after > maxRetryAfter || ok && time.Until(deadline) < wait {
		return 0, false // the caller would only hear that time is over
	}
	if c.opt.OnRetry != nil {
		c.opt.OnRetry(err, wait)
	}
	return wait, true
}

// sleep waits, and says whether it was not interrupted.
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

// backoff is the wait after the n-th failure, with full jitter.
func (c *Client) backoff(n int) time.Duration {
	limit := c.opt.BackoffMax
	if shift := n - 1; shift < 30 {
		limit = min(limit, c.opt.BackoffBase<<shift)
	}
	return rand.N(limit + 1)
}

// next says whether a request that failed so is worth sending again, whether
// that counts as one of the retries, and how long the server asks to wait.
//
// A problem that is retryable may be answered differently later, but where that
// takes a person (a doubt, a dead letter, a clock) or the coming of something
// that may never come (404), waiting for it is the caller's decision.
func next(err error) (again, counts bool, after time.Duration) {
	var p *Problem
	if errors.As(err, &p) {
		switch {
		case p.Code == string(message.CodeInFlight):
			return true, false, p.RetryAfter
		case p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable:
			return true, true, p.RetryAfter
		case p.Code == string(message.CodeInDoubt), p.Code == string(message.CodeDead),
			p.Code == string(message.CodeKeyInFuture), p.Code == string(message.CodeStorageFull),
			p.Status == http.StatusNotFound:
			return false, false, 0
		}
		return p.Retryable, true, p.RetryAfter
	}
	var f *foreign
	if errors.As(err, &f) {
		switch f.status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true, true, f.after
		}
		return false, false, 0
	}
	var notDone *semel.NotDoneError
	var unknown *semel.UnknownError
	switch {
	case errors.As(err, &notDone):
		return notDone.Code == CodeUnreachable, true, 0
	case errors.As(err, &unknown):
		return unknown.Code == CodeConnectionLost, true, 0
	}
	return false, false, 0
}
