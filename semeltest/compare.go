package semeltest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/core"
)

// result is what came of a case: what is compared with a run in which nothing
// went wrong.
type result struct {
	states  map[semel.AgentName]string
	answers map[int]answer // by step, with the bodies masked
	effects []entry
	dead    map[letter]int
}

// letter is what dead letters have in common that are told apart by number
// only.
type letter struct {
	agent  semel.AgentName
	action string
}

// look reads what came of the calls.
func (l *life) look() (*result, error) {
	r := &result{states: make(map[semel.AgentName]string), answers: make(map[int]answer), dead: make(map[letter]int)}
	l.h.mu.Lock()
	tenants := maps.Clone(l.h.trace.tenants)
	l.h.mu.Unlock()
	app := l.run.App
	for _, typ := range app.Types() {
		for tenant := range tenants {
			for e, err := range app.Agents(l.ctx, typ, semel.Tenant(tenant)) {
				if err != nil {
					return nil, err
				}
				state, _, err := app.State(l.ctx, e.Agent)
				if err != nil {
					return nil, err
				}
				r.states[e.Agent] = l.h.o.mask(state)
			}
		}
	}
	for d, err := range app.DeadLetters(l.ctx) {
		if err != nil {
			return nil, err
		}
		r.dead[letter{d.Agent, d.Action}]++
	}
	for i, a := range l.h.told {
		a.body = l.h.o.mask([]byte(a.body))
		r.answers[i] = a
	}
	led := l.h.ledger
	led.mu.Lock()
	defer led.mu.Unlock()
	for _, e := range led.records {
		if !e.setOut() || e.apart {
			continue
		}
		c := *e
		c.Keys, c.Bodies = slices.Sorted(slices.Values(e.Keys)), nil
		for _, b := range e.Bodies {
			if m := l.h.o.mask([]byte(b)); !slices.Contains(c.Bodies, m) {
				c.Bodies = append(c.Bodies, m)
			}
		}
		slices.Sort(c.Bodies)
		r.effects = append(r.effects, c)
	}
	return r, nil
}

// mask makes JSON comparable between runs: times, and what the test calls
// volatile, are left out, and fields are in order.
func (o *options) mask(b []byte) string {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if len(b) == 0 || d.Decode(&v) != nil {
		return string(b)
	}
	masked, err := json.Marshal(o.maskValue(v))
	if err != nil {
		return string(b)
	}
	return string(masked)
}

func (o *options) maskValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if o.volatile[k] {
				v[k] = "…"
			} else {
				v[k] = o.maskValue(v[k])
			}
		}
	case []any:
		for i := range v {
			v[i] = o.maskValue(v[i])
		}
	case string:
		if _, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return "(a time)"
		}
	}
	return v
}

// against is what a case is compared with.
type against struct {
	what    string // in which nothing went wrong, and what that is: "without a crash"
	replies bool   // the replies must be the same
	exactly bool   // and whatever may depend on the time of a step, which is the same too
}

// differences between what came of a case and of one in which nothing went
// wrong.
//
// Where an outcome is unknown for ever, that shows in replies and states: of
// who asked, and of whoever hears of it. All others are compared, and partly
// says that there were such.
func (h *history) differences(ref *result, t *trace, a against) (all []string, partly bool) {
	got := h.result
	say := func(form string, args ...any) { all = append(all, fmt.Sprintf(form, args...)) }
	first := slices.Clone(h.unknown)
	pairs := joined(ref.effects, got.effects)
	for _, e := range pairs {
		if h.forgets(e[0], e[1]) {
			first = append(first, cmp.Or(e[0], e[1]).Agent)
		}
	}
	heard := follow(first, t, h.trace)
	for _, e := range pairs {
		agent := cmp.Or(e[0], e[1]).Agent
		a.effect(e[0], e[1], heard[agent], say)
	}
	for _, agent := range byName(ref.states, got.states, semel.AgentName.String) {
		was, is := orNothing(ref.states[agent]), orNothing(got.states[agent])
		if was != is && !heard[agent] {
			say("the state of %s is %s, and %s %s", agent, is, a.what, was)
		}
	}
	for i := range h.steps {
		was, is := ref.answers[i], got.answers[i]
		if a.replies && was != is && !heard[h.steps[i].req.Agent()] {
			say("call %d, %s, was answered %v, and %s %v", i+1, h.steps[i].what(), is, a.what, was)
		}
	}
	for _, l := range byName(ref.dead, got.dead, letter.String) {
		if was, is := ref.dead[l], got.dead[l]; was != is && !heard[l.agent] {
			say("%s is %d times among the dead letters, and %s %d times", l, is, a.what, was)
		}
	}
	return all, len(heard) > 0
}

// forgets says whether nobody will ever know of an effect that is AtMostOnce:
// its call or its answer got lost, or the program crashed between the record
// that the call is begun and the call.
func (h *history) forgets(was, is *entry) bool {
	if is == nil {
		return was.policy == core.AtMostOnce && h.lives > 1 && h.trace.asked[was.ID]
	}
	return is.policy == core.AtMostOnce && is.lost
}

func (l letter) String() string { return fmt.Sprintf("%s of %s", l.action, l.agent) }

// effect compares what is known of one effect at one service. Either may be
// nil. Where an outcome is unknown for ever, effects may be missing that would
// have followed it.
func (a against) effect(was, is *entry, unknown bool, say func(string, ...any)) {
	switch {
	case is == nil && !unknown:
		say("%s was never called, and %s it %s", was.what(), a.what, happened(was.Happened))
		return
	case is == nil:
		return
	case was == nil && is.Happened > 0 && !unknown:
		say("%s %s, and %s it was never called", is.what(), happened(is.Happened), a.what)
		return
	case was == nil:
		if is.Happened > 1 {
			say("%s %s", is.what(), happened(is.Happened))
		}
		return
	}
	lost := is.policy == core.AtMostOnce && is.lost && is.Happened < was.Happened
	if is.Happened != was.Happened && !lost {
		say("%s %s, and %s it %s (policy %s, %s)", is.what(), happened(is.Happened), a.what, happened(was.Happened), is.policy, keyed(is.Keys, ", "))
	}
	if !slices.Equal(is.Bodies, was.Bodies) {
		say("%s was called with %s, and %s with %s", is.what(), strings.Join(is.Bodies, " and "), a.what, strings.Join(was.Bodies, " and "))
	}
	switch {
	case a.exactly && !slices.Equal(is.Keys, was.Keys):
		say("%s was called %s, and %s %s: send EffectCall.Key, or what is derived from it alone", is.what(), keyed(is.Keys, " and "), a.what, keyed(was.Keys, " and "))
	case len(is.Keys) > len(was.Keys):
		say("%s was called %s: send EffectCall.Key, or what is derived from it alone", is.what(), keyed(is.Keys, " and "))
	}
}

// joined pairs the entries of two runs that are about the same effect.
func joined(was, is []entry) (pairs [][2]*entry) {
	at := make(map[string]int)
	for side, list := range [][]entry{was, is} {
		for i := range list {
			e := &list[i]
			id := e.Service + "\x00" + e.ID
			if _, ok := at[id]; !ok {
				at[id] = len(pairs)
				pairs = append(pairs, [2]*entry{})
			}
			pairs[at[id]][side] = e
		}
	}
	return pairs
}

// byName lists what either of two runs has, in the order of its name.
func byName[K comparable, V any](a, b map[K]V, name func(K) string) []K {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return slices.SortedFunc(maps.Keys(both), func(x, y K) int { return cmp.Compare(name(x), name(y)) })
}

func orNothing(state string) string {
	if state == "" {
		return "nothing"
	}
	return state
}
