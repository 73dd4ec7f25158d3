package twopc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/semel-dev/semel"
)

// What is asked of a participant outside.
const (
	opPrepare = "prepare"
	opCommit  = "commit"
	opAbort   = "abort"
)

// ask is the request of the effect that calls a participant.
type ask struct {
	Op     string          `json:"op"`
	Tx     string          `json:"tx"`
	Name   string          `json:"name"`
	Handle string          `json:"handle,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	// WithinMS is how long there was until the transaction's deadline when it
	// was asked to prepare: a call that takes longer is of no use, and keeps locks.
	WithinMS int64 `json:"within_ms,omitempty"`
}

// said is its reply: also a no, because a rejection could not say how many
// calls were made.
type said struct {
	Handle   string          `json:"handle,omitempty"`
	ReadOnly bool            `json:"read_only,omitempty"`
	Reply    json.RawMessage `json:"reply,omitempty"`
	No       *refusal        `json:"no,omitempty"`
	Calls    int             `json:"calls,omitempty"`
}

// effectName is the name of the effect that calls a participant.
func effectName(participant string) string { return "twopc." + participant }

// effectAttempts is how often one effect calls before the coordinator hears that
// it failed. It asks again by itself, for as long as it takes, and shows why; a
// call or two more spare a commit when an answer was lost.
const effectAttempts = 3

// registerOutside makes the effect that calls a participant. Its policy is
// ReadOnly, which is to say: it may be called again, at any time, and when it
// is given up nothing is in doubt for a person to settle. Of a participant that
// is so because each of its methods is idempotent, and because it is the
// coordinator that remembers what may be prepared. (Keyed would park a database
// that is away among the doubts, where its transaction's branch stands already.)
func registerOutside(app *semel.App, name string, p Participant, timeout time.Duration) {
	if strings.ContainsAny(name, "/:") || effectName(name) == alarmEffect {
		panic(fmt.Sprintf("twopc: a participant cannot be named %q", name))
	}
	semel.NewEffect(app, effectName(name), func(ctx context.Context, call semel.EffectCall, a ask) (said, error) {
		answer, err := reach(ctx, p, a)
		answer.Calls = call.Attempt
		return answer, err
	}, semel.ReadOnly, semel.Timeout(timeout), semel.Attempts(effectAttempts))
}

// reach makes one call of a participant. An error says that nothing certain is
// known.
func reach(ctx context.Context, p Participant, a ask) (answer said, err error) {
	at := Prepared{Tx: a.Tx, Name: a.Name, Handle: a.Handle}
	switch a.Op {
	case opPrepare:
		if a.WithinMS > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(a.WithinMS)*time.Millisecond)
			defer cancel()
		}
		var v Vote
		if v, err = p.Prepare(ctx, Branch{Tx: a.Tx, Name: a.Name, Body: a.Body}); err == nil {
			answer = said{Handle: v.Handle, ReadOnly: v.ReadOnly, Reply: v.Reply}
			err = v.check()
		}
	case opCommit:
		err = p.Commit(ctx, at)
	case opAbort:
		err = p.Abort(ctx, at)
	default:
		err = semel.NotDone(fmt.Errorf("nobody knows what %q asks of a participant", a.Op))
	}
	var no *semel.Rejection
	if errors.As(err, &no) && no != nil && semel.KindOf(err) == semel.KindRejected {
		return said{No: &refusal{Code: text(no.Code), Detail: text(no.Detail), Data: bounded(no.Data)}}, nil
	}
	if err != nil {
		return said{}, err
	}
	return answer, nil
}

// check refuses a vote that cannot be remembered as it is. The branch is
// prepared, perhaps; so this is no vote, and it will be aborted.
func (v *Vote) check() error {
	switch {
	case len(v.Handle) > maxHandle || !utf8.ValidString(v.Handle):
		return fmt.Errorf("the participant's handle %q is not text of at most %d bytes", v.Handle, maxHandle)
	case len(v.Reply) > 0 && !json.Valid(v.Reply):
		return errors.New("the participant's reply is not JSON")
	}
	return nil
}

const maxHandle = 64

func bounded(data json.RawMessage) json.RawMessage {
	if len(data) > maxData || !json.Valid(data) {
		return nil
	}
	return data
}

// heardOutside reads what an effect brought.
func heardOutside(r semel.Result[said]) heard {
	switch {
	case !r.Done():
		// Not done and unknown are the same here: an earlier call may have done it.
		return heard{verdict: wasFailed, detail: cmpText(r.Detail, r.Code), unsure: true}
	case r.Value.No != nil:
		return heard{verdict: wasNo, refusal: *r.Value.No, unsure: r.Value.Calls > 1}
	}
	v := r.Value
	return heard{verdict: wasDone, readOnly: v.ReadOnly, handle: v.Handle, reply: v.Reply, unsure: v.Calls > 1}
}
