package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// contender is one of those that take turns.
type contender struct {
	name   string
	load   Load
	run    func(Load) (Result, error)
	result Result
}

// turns are how contenders are measured: one after the other, in short rounds.
type turns struct {
	ctx      context.Context
	agents   int // of the contenders' loads
	progress func(string)
}

// take measures contenders in turns. Each round begins with another one.
func (t turns) take(name string, rounds int, each time.Duration, all ...*contender) error {
	for round := range rounds {
		for i := range all {
			c := all[(round+i)%len(all)]
			t.progress(fmt.Sprintf("%s, round %d of %d: %s", name, round+1, rounds, c.name))
			c.load.For, c.load.Agents, c.load.Stop = each, t.agents, t.ctx.Done()
			more, err := warmed(c.load, c.run)
			if err = errors.Join(err, t.ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.result.merge(more)
		}
	}
	for _, c := range all {
		c.result.finish()
	}
	return nil
}

// best is the one of several ways that does most, by two rounds. tried says in
// words what each did.
func (t turns) best(name string, each time.Duration, all ...*contender) (top *contender, tried string, err error) {
	if err := t.take(name+", which does best", 2, each, all...); err != nil {
		return nil, "", err
	}
	top = slices.MaxFunc(all, func(a, b *contender) int { return int(a.result.PerSec - b.result.PerSec) })
	var said []string
	for _, c := range all {
		said = append(said, fmt.Sprintf("%s %s/s", c.name, thousands(c.result.PerSec)))
	}
	top.result = Result{}
	return top, fmt.Sprintf("%s: tried %s", name, strings.Join(said, ", ")), nil
}

// add puts a row on the sheet: one contender, beside another if that is not nil.
func (s *Sheet) add(c, beside *contender, g goal) {
	row := Row{Name: c.name, What: "throughput", Result: c.result}
	if beside != nil {
		row.Beside, row.Baseline = beside.name, &beside.result
		row.Ratio = ratioOf(Point{}, "", &c.result, "", &beside.result).Throughput
		row.Goal = g.text()
		if g.least > 0 {
			met := row.Ratio >= g.least
			row.Met = &met
		}
	}
	s.Rows = append(s.Rows, row)
}

// goal is what a ratio should be at least; zero for no goal.
type goal struct{ least float64 }

func (g goal) text() string {
	if g.least == 0 {
		return ""
	}
	return fmt.Sprintf("≥ %.1f ×", g.least)
}
