package bench

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/pebble"
)

// Row is one line of the table: what the engine does, and what it is compared
// with, measured in turns of the same run.
type Row struct {
	Name     string  `json:"name"`
	What     string  `json:"what"` // of the result that the ratio is of
	Result   Result  `json:"result"`
	Beside   string  `json:"beside,omitempty"`
	Baseline *Result `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	Goal     string  `json:"goal,omitempty"`
	Met      *bool   `json:"goal_met,omitempty"` // nil where nothing measures it
}

// Plan is what a run measures.
type Plan struct {
	Dir      string        // where the stores are made and removed
	Round    time.Duration // of one measurement
	Rounds   int           // of each row, taken in turns with its baseline
	Agents   int
	Store    pebble.Options
	Alone    bool // without the baselines, for a profile of the engine itself
	Progress func(string)
}

type comparison struct {
	name, beside, goal string
	load               Load
	hot                bool
	latency            bool // the ratio is of the p50, lower is better; else of the throughput
	action, against    func(*Bench) *semel.Action[Credit, Receipt]
}

func exactly(b *Bench) *semel.Action[Credit, Receipt] { return b.Exactly }
func atLeast(b *Bench) *semel.Action[Credit, Receipt] { return b.AtLeast }
func atMost(b *Bench) *semel.Action[Credit, Receipt]  { return b.AtMost }

var comparisons = []comparison{
	{name: "1 caller", beside: "raw Pebble, 1 caller", goal: "p50 ≤ 1.2 ×", load: Load{Callers: 1, Group: 1}, latency: true, action: exactly},
	{name: "64 callers", beside: "raw Pebble, 64 callers", goal: "≥ 1.0 ×", load: Load{Callers: 64, Group: 1}, action: exactly},
	{name: "256 callers", beside: "raw Pebble, 256 callers", goal: "≥ 1.0 ×", load: Load{Callers: 256, Group: 1}, action: exactly},
	{name: "8 callers, batches of 512", beside: "raw Pebble, groups of 512", goal: "≥ 1.0 ×, aim 2 ×", load: Load{Callers: 8, Group: 512}, action: exactly},
	{name: "one hot agent, batches of 512", beside: "raw Pebble, groups of 512", goal: "≥ 2 ×", load: Load{Callers: 8, Group: 512}, hot: true, action: exactly},
	{name: "one hot agent, 256 callers", beside: "raw Pebble, 256 callers", load: Load{Callers: 256, Group: 1}, hot: true, action: exactly},
	{name: "exactly-once, 64 callers", beside: "at-least-once", goal: "≥ 0.8 ×", load: Load{Callers: 64, Group: 1}, action: exactly, against: atLeast},
	{name: "at-most-once, 64 callers", beside: "exactly-once", load: Load{Callers: 64, Group: 1}, action: atMost, against: exactly},
}

// Compare measures every comparison whose name contains only.
func (p Plan) Compare(only string) ([]Row, error) {
	disk, err := p.inDir(func(dir string) (Result, error) { return Disk(dir, Load{For: p.Round}) })
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	disk.finish()
	rows := []Row{{Name: "disk: 4 KiB write + fdatasync, 1 caller", What: "p50", Result: disk}}
	for _, c := range comparisons {
		if !strings.Contains(c.name, only) {
			continue
		}
		p.Progress(c.name)
		row, err := p.compare(c)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", c.name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (p Plan) compare(c comparison) (Row, error) {
	l := c.load
	l.For, l.Agents = p.Round, p.Agents
	row := Row{Name: c.name, What: "throughput", Beside: c.beside, Goal: c.goal}
	var base Result
	own := l
	if c.hot {
		own.Agents = 1
	}
	for range p.Rounds {
		if !p.Alone {
			if err := p.round(&base, func(dir string) (Result, error) { return p.baseline(dir, l, c) }); err != nil {
				return row, err
			}
		}
		if err := p.round(&row.Result, func(dir string) (Result, error) { return p.engine(dir, own, c.action) }); err != nil {
			return row, err
		}
	}
	row.Result.finish()
	if p.Alone {
		return row, nil
	}
	base.finish()
	row.Baseline = &base
	if c.latency {
		row.What, row.Ratio = "p50", float64(row.Result.P50)/float64(base.P50)
	} else {
		row.Ratio = row.Result.PerSec / base.PerSec
	}
	return row, nil
}

// round adds one measurement, in a directory of its own that is removed.
func (p Plan) round(to *Result, do func(dir string) (Result, error)) error {
	more, err := p.inDir(do)
	to.merge(more)
	return err
}

// baseline measures what a comparison's engine is compared with.
func (p Plan) baseline(dir string, l Load, c comparison) (Result, error) {
	if c.against != nil {
		return p.engine(dir, l, c.against)
	}
	return Raw(dir, l)
}

// engine measures one action in a new store.
func (p Plan) engine(dir string, l Load, action func(*Bench) *semel.Action[Credit, Receipt]) (r Result, err error) {
	b, err := Open(dir, p.Store, nil)
	if err != nil {
		return r, err
	}
	defer func() {
		if e := b.Close(); err == nil {
			err = e
		}
	}()
	return b.Run(l, action(b))
}

// inDir runs a measurement in a directory of its own and removes it.
func (p Plan) inDir(do func(dir string) (Result, error)) (Result, error) {
	dir, err := os.MkdirTemp(p.Dir, "semel-bench-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	return do(dir)
}
