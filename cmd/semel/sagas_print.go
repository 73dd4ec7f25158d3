package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/semel-dev/semel/saga"
)

// ordered prints where a saga stands after an order.
func (s *session) ordered(id string, phase saga.Phase, err error) error {
	if err != nil {
		return err
	}
	if s.json {
		return printed(s.object(map[string]any{"saga": id, "phase": phase}))
	}
	return printed(s.line("%s is %s", id, phase))
}

// underWay names the steps that something is waited for.
func underWay(v *saga.View) (names []string) {
	for _, s := range v.Steps {
		if s.Do.State == saga.Asked || s.Do.State == saga.Backoff {
			names = append(names, s.Name)
		}
		if s.Undo.State == saga.Asked || s.Undo.State == saga.Backoff {
			names = append(names, "undo "+s.Name)
		}
	}
	return names
}

func whyOf(v *saga.View) string {
	switch {
	case v.Parked != nil:
		return v.Parked.Code + ": " + v.Parked.Detail
	case v.Failure != nil:
		return strings.TrimSpace(v.Failure.Step + " " + v.Failure.Code + ": " + v.Failure.Detail)
	}
	return ""
}

// saga prints a saga for people.
func (s *session) saga(v *saga.View) error {
	if s.json {
		return s.object(v)
	}
	fields := []string{"phase", string(v.Phase), "version", strconv.Itoa(v.Version), "started", moment(v.Started), "ended", moment(v.Ended)}
	if !v.Deadline.IsZero() {
		fields = append(fields, "deadline", moment(v.Deadline))
	}
	if v.Failure != nil {
		fields = append(fields, "failed", strings.TrimSpace(v.Failure.Step+" "+v.Failure.Code+": "+v.Failure.Detail))
	}
	if v.Parked != nil {
		fields = append(fields, "parked", strings.TrimSpace(v.Parked.Step+" "+v.Parked.Code+": "+v.Parked.Detail))
	}
	for _, st := range v.Steps {
		fields = append(fields, st.Name, tryText(st.Do))
		if !st.Undo.IsZero() {
			fields = append(fields, "  undo", tryText(st.Undo))
		}
	}
	fields = append(fields, "state", oneLine(v.State, 2000))
	if v.Parked != nil {
		fields = append(fields, "", "Mend what keeps it, then: semel sagas resume "+v.ID,
			"", "Or say what somebody did or saw: semel sagas settle "+v.ID+" STEP --happened")
	}
	return s.fields("saga "+v.ID, fields...)
}

func tryText(t saga.Try) string {
	if t.IsZero() {
		return "not yet"
	}
	text := string(t.State)
	if t.State == saga.Idle {
		text = "about to be asked for"
	}
	text += fmt.Sprintf(", %d attempts", t.Attempts)
	if !t.Asked.IsZero() {
		text += ", asked " + moment(t.Asked)
	}
	if !t.Settled.IsZero() {
		text += ", settled " + moment(t.Settled)
	}
	if t.Waiting {
		text += ", its answer is waited for"
	}
	if t.Code != "" {
		text += "; " + t.Code + ": " + t.Detail
	}
	if t.Key != "" {
		text += "; effect " + t.Key
	}
	if t.By != "" {
		text += "; settled by " + t.By + ": " + t.Why
	}
	return text
}
