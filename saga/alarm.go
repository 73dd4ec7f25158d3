package saga

import (
	"context"
	"log/slog"
	"time"

	"github.com/semel-dev/semel"
)

// AlarmEffect is the name of the effect by which sagas raise alarms. It reaches
// nothing outside of the program; tests by package semeltest name it as
// semeltest.Elsewhere(saga.AlarmEffect).
const AlarmEffect = "saga.alarm"

// An Alarm is something that a person should look at: a saga is parked, or waits
// for what should have been answered by now (CodeOverdue). It is raised when that
// is durable, and at least once, so after a crash perhaps again.
type Alarm struct {
	ID     string    `json:"id"` // of the saga
	Tenant string    `json:"tenant"`
	Step   string    `json:"step,omitempty"`
	Code   string    `json:"code"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

// raise asks for the alarm: a step must not log by itself, because it may run
// and not stand.
func (g *Registry) raise(s *semel.Step, name string, p *Park) {
	self := s.Agent()
	semel.EffectTo[Alarm, struct{}](AlarmEffect).Run(s, Alarm{
		ID: idOf(name, self.ID), Tenant: self.Tenant, Step: p.Step, Code: p.Code, Detail: p.Detail, At: p.At,
	})
}

func (g *Registry) onAlarm(ctx context.Context, _ semel.EffectCall, a Alarm) (struct{}, error) {
	g.mu.Lock()
	g.alarms[a.Code]++
	g.mu.Unlock()
	if l := g.cfg.Logger; l != nil {
		l.LogAttrs(ctx, slog.LevelWarn, "saga: "+a.Detail,
			slog.String("saga", a.ID), slog.String("tenant", a.Tenant), slog.String("step", a.Step), slog.String("code", a.Code))
	}
	if g.cfg.OnAlarm != nil {
		g.cfg.OnAlarm(a)
	}
	return struct{}{}, nil
}

// Alarms is how often an alarm of each code was raised since the App was opened.
func (g *Registry) Alarms() map[string]uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[string]uint64, len(g.alarms))
	for code, n := range g.alarms {
		all[code] = n
	}
	return all
}
