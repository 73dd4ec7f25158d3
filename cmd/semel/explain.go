package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/message"
)

// explanation is what `semel explain --json` prints.
type explanation struct {
	Agent       string          `json:"agent"`
	Key         string          `json:"key"`
	Verdict     verdict         `json:"verdict"`
	Why         string          `json:"why"`
	KeyTime     time.Time       `json:"key_time,omitzero"`
	Fingerprint string          `json:"fingerprint,omitempty"` // of the request that was given
	Outcome     *client.Outcome `json:"outcome,omitempty"`     // what is recorded, if anything is
}

// verdict says what becomes of a repetition now.
type verdict string

const (
	verdictReplay   verdict = "replay"    // it gets the recorded outcome
	verdictConflict verdict = "conflict"  // refused: the key was used for another request
	verdictWaits    verdict = "waits"     // it waits for the one that is not settled
	verdictNew      verdict = "new"       // nothing is recorded: it is executed
	verdictExpired  verdict = "expired"   // refused: the key is older than what is remembered
	verdictInFuture verdict = "in_future" // refused: the key's time is ahead of the clock
)

type explainOptions struct {
	remote
	principal, tenant string
	retention, skew   time.Duration
	now               func() time.Time
}

func explainCommand() *cobra.Command {
	o := explainOptions{now: time.Now}
	cmd := &cobra.Command{
		Use:   "explain AGENT KEY [ACTION [BODY|-|@FILE]]",
		Short: "Say what is recorded under a key, and why a repetition is replayed or refused",
		Long: `Say what is recorded under a key, and what becomes of a repetition.

With an ACTION (and BODY; none is null) it compares that request with the recorded
one by its fingerprint, which is computed here: nothing is called. The same
fingerprint is replayed, another one is a conflict.`,
		Example: `  semel explain account/alice pay-1
  semel explain account/alice pay-1 credit '{"cents":1000}'`,
		Args: cobra.RangeArgs(2, 4),
		RunE: o.do(o.explain),
	}
	cmd.AddCommand(explainTransactionCommand(), explainSagaCommand())
	o.flags(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.principal, "principal", "", "whose key it is; the default is the caller's own, another `name` needs the role read")
	f.StringVar(&o.tenant, "tenant", message.DefaultTenant, "the `tenant` of the token, which is a part of fingerprints")
	f.DurationVar(&o.retention, "retention", 24*time.Hour, "the server's configured retention, to judge keys of which nothing is `recorded`")
	f.DurationVar(&o.skew, "skew", 5*time.Minute, "how far a key's `time` may be ahead of the server's clock")
	return cmd
}

func (o *explainOptions) explain(ctx context.Context, s *session, args []string) error {
	e := explanation{Agent: args[0], Key: args[1]}
	if t, ok := message.KeyTime(e.Key); ok {
		e.KeyTime = time.Unix(0, t).UTC()
	}
	var asked *repetition
	if len(args) > 2 {
		body, err := bodyArg(args[3:])
		if err != nil {
			return err
		}
		typ, id, _ := strings.Cut(e.Agent, "/")
		asked = &repetition{semel.AgentName{Tenant: o.tenant, Type: typ, ID: id}, args[2], body}
		if e.Fingerprint, err = asked.fingerprint(asked.action); err != nil {
			return err
		}
	}
	found, err := s.OutcomeOf(ctx, e.Agent, e.Key, o.principal)
	switch {
	case err == nil:
		e.Outcome = &found
		e.judge(asked)
	case errors.Is(err, semel.ErrExpired):
		e.Verdict = verdictExpired
		e.Why = "nothing is recorded under this key any more: it is older than what is remembered, so a call with it is refused as idempotency_key_expired. Whether it ran cannot be known any more"
		err = toldError{err} // the lookup did not find it: exit code 4
	case errors.Is(err, semel.ErrUnknownKey):
		e.judgeUnrecorded(o.now(), o.retention, o.skew)
		err = toldError{err}
	default:
		return err
	}
	if s.json {
		if printing := s.object(e); printing != nil {
			return printing
		}
		return err
	}
	if printing := s.explain(e); printing != nil {
		return printing
	}
	return err
}

// repetition is the request that would be sent again.
type repetition struct {
	agent  semel.AgentName
	action string
	body   []byte
}

func (r *repetition) fingerprint(action string) (string, error) {
	f, err := message.FingerprintOf(r.agent, action, r.body)
	return f.String(), err
}

// judge says what becomes of a repetition of a call that is recorded.
func (e *explanation) judge(asked *repetition) {
	o := e.Outcome
	if asked != nil && e.Fingerprint != o.Fingerprint {
		e.Verdict = verdictConflict
		e.Why = "refused as idempotency_conflict, and nothing is done: " + asked.difference(o) +
			". If it is meant as a new call, give it a new key; if it is a repetition, send what was sent at first"
		return
	}
	same := "a repetition with the same action and body"
	if asked != nil {
		same = "this request is the same, so it"
	}
	e.Verdict = verdictReplay
	switch o.Status {
	case message.StatusDone.String():
		e.Why = same + " is not done again: it gets the recorded reply"
	case message.StatusRejected.String():
		e.Why = same + " is not looked at again: it gets the recorded no (" + o.Code + "). A changed mind needs a new key"
	case message.StatusUnknown.String():
		e.Why = same + " gets the same answer: nobody can know whether it took effect, and it is not tried again"
	case message.StatusInFlight.String():
		e.Verdict = verdictWaits
		e.Why = same + " is not started a second time: it waits for the one that is in flight"
	case message.StatusInDoubt.String():
		e.Verdict = verdictWaits
		e.Why = same + " is answered in_doubt until doubt " + o.Doubt + " is settled: semel doubts show " + o.Doubt
	case message.StatusDead.String():
		e.Verdict = verdictWaits
		e.Why = same + " is answered dead until dead letter " + o.Dead + " is retried or discarded: semel dead show " + o.Dead
	default:
		e.Why = same + " is answered " + o.Status
	}
}

// difference words what makes a request another one than the recorded.
func (r *repetition) difference(o *client.Outcome) string {
	if o.Fingerprint == "" {
		return "no fingerprint is recorded with this outcome"
	}
	if r.action != o.Action {
		if f, err := r.fingerprint(o.Action); err == nil && f == o.Fingerprint {
			return fmt.Sprintf("the recorded call asks for %q with the same body, this one for %q", o.Action, r.action)
		}
		return fmt.Sprintf("the recorded call asks for %q, this one for %q, and the bodies differ", o.Action, r.action)
	}
	text := "the action is the same, the body is another JSON value than the recorded one (order of members, white space and the spelling of numbers do not matter)"
	if r.agent.Tenant == message.DefaultTenant {
		text += ", unless the token belongs to a tenant that --tenant does not name"
	}
	return text
}

// judgeUnrecorded says what becomes of a call whose key is not recorded.
func (e *explanation) judgeUnrecorded(now time.Time, retention, skew time.Duration) {
	const nothing = "nothing is recorded under this key: "
	switch {
	case e.KeyTime.IsZero():
		e.Verdict = verdictNew
		e.Why = nothing + "a call with it never came, is on its way, was not done, or was settled longer ago than the retention (" + retention.String() +
			"). The key carries no time, so a call with it is executed"
	case e.KeyTime.After(now.Add(skew)):
		e.Verdict = verdictInFuture
		e.Why = nothing + "the time that it carries is more than " + skew.String() + " ahead, so a call with it is refused as idempotency_key_in_future. Check the clock of who made it"
	default:
		e.Verdict = verdictNew
		e.Why = nothing + "a call with it never came, is on its way, or was not done. The time that it carries is remembered, so a call with it is executed"
	}
}

// explain prints an explanation for people.
func (p *printer) explain(e explanation) error {
	var fields []string
	if o := e.Outcome; o != nil {
		status := statusText(*o)
		if o.Detail != "" {
			status += ": " + o.Detail
		}
		fields = append(fields, "status", status, "action", o.Action, "principal", o.Principal)
		if o.Reply != nil {
			fields = append(fields, "reply", oneLine(o.Reply, 2000))
		}
		fields = append(fields, "first seen", moment(o.FirstSeen), "settled", moment(o.Settled), "attempts", strconv.Itoa(o.Attempts),
			"kept until", moment(o.Expires), "fingerprint", o.Fingerprint)
	}
	if e.Fingerprint != "" {
		fields = append(fields, "this request", e.Fingerprint)
	}
	if !e.KeyTime.IsZero() {
		fields = append(fields, "key's time", moment(e.KeyTime))
	}
	return p.fields(e.Agent+", key "+e.Key, append(fields, "", string(e.Verdict)+": "+e.Why)...)
}
