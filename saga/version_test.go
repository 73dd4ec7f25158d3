package saga_test

import (
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/saga"
)

// registered is the program with some versions of the trip, whose compensations
// wait in the sense that pay is held.
func registered(trips **saga.Definition[Trip], versions ...saga.Version[Trip]) func(*bed) {
	return func(b *bed) {
		outside(b.app, b.w, "keyed", &b.weather)
		*trips = saga.New(b.g, "trip", versions...)
	}
}

// A saga finishes on the version that it began with, new ones begin with the
// highest.
func TestVersions(t *testing.T) {
	var trips *saga.Definition[Trip]
	short := saga.Version[Trip]{Number: 2, Stages: []saga.Stage[Trip]{step("pay")}}
	trial(t, registered(&trips, version(1)), func(b *bed) {
		id := b.stopped(trips, "hotel")
		b.reopen(registered(&trips, short, version(1)))
		if v := b.start(trips, "new", Trip{}); v.Version != 2 || len(v.Steps) != 1 || v.Phase != saga.Completed {
			b.Errorf("%+v", v)
		}
		if v := b.wait(id); v.Version != 1 || v.Phase != saga.Completed {
			b.Errorf("%+v", v)
		}
		b.books([3]int{1, 1, 2}, [3]int{})
	})
}

// stopped starts a saga that is in the middle when the program is reopened: the
// call of a service waits, and comes to its end only as the program ends.
func (b *bed) stopped(trips *saga.Definition[Trip], service string) (id string) {
	b.Helper()
	b.gates[service] = make(chan struct{})
	id, err := trips.Start(b.ctx, "k", Trip{})
	if err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	return id
}

// A version that is not there, or is another one by now, parks the saga and says
// which there are. What is answered meanwhile is not lost.
func TestVersionMissing(t *testing.T) {
	renamed := version(1)
	renamed.Stages[2] = saga.Step[Trip]{Name: "charge", Do: book("pay"), Undo: unbook("pay")}
	fewer := version(1)
	fewer.Stages = fewer.Stages[:1]
	retargeted := version(1)
	retargeted.Stages[0] = saga.Step[Trip]{Name: "flight", Do: book("hotel"), Undo: unbook("flight")}
	for code, versions := range map[string][]saga.Version[Trip]{
		saga.CodeUnknownVersion:            {version(2), version(3)},
		saga.CodeChanged + " renamed":      {renamed},
		saga.CodeChanged + " fewer":        {fewer},
		saga.CodeChanged + " another call": {retargeted},
	} {
		code, _, _ := strings.Cut(code, " ")
		for _, end := range []string{"resume", "cancel"} {
			var trips *saga.Definition[Trip]
			trial(t, registered(&trips, version(1)), func(b *bed) {
				id := b.stopped(trips, "hotel")
				b.reopen(registered(&trips, versions...))
				v := b.wait(id)
				b.phase(v, saga.Parked)
				if v.Parked.Code != code || v.Steps[1].Do.State != saga.Done || v.Steps[2].Do.State != saga.Idle {
					b.Errorf("%+v, %+v", v.Parked, v.Steps)
				}
				if code == saga.CodeUnknownVersion && !strings.Contains(v.Parked.Detail, "[2 3]") {
					b.Errorf("%s", v.Parked.Detail)
				}
				b.alarmed(code)
				if end == "cancel" {
					if p, err := b.g.Cancel(b.ctx, id, "ann", ""); err != nil || p != saga.Parked {
						b.Errorf("%s, %v", p, err) // it is to be undone, and cannot be yet
					}
				} else if p, err := b.g.Resume(b.ctx, id, "ann"); err != nil || p != saga.Parked {
					b.Errorf("%s, %v", p, err)
				}
				delete(b.gates, "hotel")
				b.reopen(registered(&trips, version(1)))
				if _, err := b.g.Resume(b.ctx, id, "ann"); err != nil {
					b.Fatal(err)
				}
				v = b.wait(id)
				if end == "cancel" {
					b.phase(v, saga.Cancelled)
					b.books([3]int{1, 1, 0}, [3]int{1, 1, 0})
				} else {
					b.phase(v, saga.Completed)
					b.books([3]int{1, 1, 1}, [3]int{})
				}
			})
		}
	}
}

// What may change within a version does not stop a saga.
func TestSameVersion(t *testing.T) {
	var trips *saga.Definition[Trip]
	tuned := version(1)
	hotel := step("hotel")
	hotel.Retry, hotel.Timeout, hotel.UndoRetry = saga.Retry{Attempts: 3}, time.Hour, saga.Retry{Base: time.Hour}
	tuned.Stages[1], tuned.Timeout = hotel, time.Hour
	trial(t, registered(&trips, version(1)), func(b *bed) {
		id := b.stopped(trips, "hotel")
		b.reopen(registered(&trips, tuned))
		b.phase(b.wait(id), saga.Completed)
	})
}

// Definitions that cannot work are mistakes, and say which.
func TestMistakes(t *testing.T) {
	flight, nothing, pivot, undonePivot, always := step("flight"), step("flight"), pivotOf("flight"), step("flight"), step("flight")
	nothing.Do = saga.Call[Trip]{}
	undonePivot.Pivot = true
	always.Undo, always.UndoAlways = nil, true
	one := func(all ...saga.Stage[Trip]) []saga.Version[Trip] {
		return []saga.Version[Trip]{{Number: 1, Stages: all}}
	}
	wait := step("hotel")
	wait.Retry = saga.Retry{Base: time.Hour, Max: time.Minute}
	var many []saga.Stage[Trip]
	for range 101 {
		s := step("flight")
		s.Name = strings.Repeat("x", len(many)%60+1) + "_" + string(rune('a'+len(many)/60))
		many = append(many, s)
	}
	for want, c := range map[string]struct {
		name     string
		versions []saga.Version[Trip]
	}{
		"a name has 1 to 64":         {"a/b", one(flight)},
		"no version":                 {"a", nil},
		"numbers begin at 1":         {"b", []saga.Version[Trip]{{Stages: []saga.Stage[Trip]{flight}}}},
		"twice":                      {"c", append(one(flight), one(flight)...)},
		"has no stages":              {"d", one()},
		"stage 1 has no steps":       {"e", one(saga.Parallel[Trip]{})},
		"the name is taken":          {"f", one(flight, flight)},
		"makes no request":           {"g", one(nothing)},
		"stage by itself":            {"h", one(saga.Parallel[Trip]{pivot, step("hotel")})},
		"a pivot before it already":  {"i", one(pivot, pivotOf("hotel"))},
		"it can have no Undo":        {"j", one(undonePivot)},
		"from the pivot on nothing":  {"k", one(pivot, step("hotel"))},
		"UndoAlways and has no Undo": {"l", one(always)},
		"shorter than the first":     {"m", one(wait)},
		"at most 100":                {"n", one(many...)},
	} {
		trial(t, func(b *bed) {
			if _, err := saga.Define(b.g, c.name, c.versions...); err == nil || !strings.Contains(err.Error(), want) {
				b.Errorf("%q: %v", want, err)
			}
		}, func(*bed) {})
	}
}

func pivotOf(name string) saga.Step[Trip] {
	s := step(name)
	s.Undo, s.Pivot = nil, true
	return s
}
