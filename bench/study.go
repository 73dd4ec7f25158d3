package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/pebble"
)

// Paths are the ways in which the workload reaches the disk.
const (
	InProcess = "in process" // through the Go API of a program that embeds Semel
	OverHTTP  = "over HTTP"  // through a server on the loopback address, whose clients run on the same processors
	RawStore  = "raw store"  // without Semel: see Raw
)

// batchCallers is how many callers send batches at once.
const batchCallers = 8

// Bounds of a study: what a request over HTTP may hold, and callers that one
// machine can be.
const (
	MaxBatch   = 1000
	MaxCallers = 4096
)

// Guarantees are what a study compares, in the order in which it shows them.
var Guarantees = []message.Guarantee{message.ExactlyOnce, message.AtLeastOnce, message.AtMostOnce}

// Study measures what each delivery guarantee costs on this machine: the same
// workload under all of them, through both paths, at several loads, beside the
// raw store and the disk. What is compared takes turns, so that it has the same
// noise.
type Study struct {
	Dir      string        // where the stores are made and removed
	Round    time.Duration // of one measurement, after a fifth of it to warm up
	Rounds   int           // of each
	Agents   int           // chosen uniformly
	Callers  []int         // numbers of callers at once
	Batch    int           // calls in a batch; 0 for no batches
	Only     string        // measures only the points whose name contains this
	Store    pebble.Options
	Progress func(Progress) // may be nil
}

// Progress is how far a study came.
type Progress struct {
	Done, Total int           // measurements
	Left        time.Duration // about
	Now         string        // what is measured
}

// Point is where the guarantees are compared: a path and a load.
type Point struct {
	Path    string `json:"path"`
	Callers int    `json:"callers"`
	Batch   int    `json:"batch"` // calls that a caller sends together; 1 for single calls
}

func (p Point) String() string { return p.Path + ", " + p.Load() }

// Load is the point without its path.
func (p Point) Load() string {
	callers := fmt.Sprintf("%d callers", p.Callers)
	if p.Callers == 1 {
		callers = "1 caller"
	}
	if p.Batch > 1 {
		return fmt.Sprintf("%s, batches of %d", callers, p.Batch)
	}
	return callers
}

// subject is what is measured at a point.
type subject struct {
	name string // a guarantee's, or RawStore
	run  func(dir string, l Load) (Result, error)
}

// Points are what will be measured. An error says that nothing will.
func (s Study) Points() ([]Point, error) {
	var all, chosen []Point
	for _, path := range []string{InProcess, OverHTTP} {
		for _, n := range s.Callers {
			all = append(all, Point{path, n, 1})
		}
		if s.Batch > 1 {
			all = append(all, Point{path, batchCallers, s.Batch})
		}
	}
	for _, p := range all {
		if strings.Contains(p.String(), s.Only) {
			chosen = append(chosen, p)
		}
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("there is nothing to measure: give numbers of callers, or a size of batches")
	case len(chosen) == 0:
		var names []string
		for _, p := range all {
			names = append(names, p.String())
		}
		return nil, fmt.Errorf("no point has a name that contains %q; there are: %s", s.Only, strings.Join(names, "; "))
	}
	return chosen, nil
}

func (s Study) subjects(p Point) []subject {
	through := s.inProcess
	if p.Path == OverHTTP {
		through = s.overHTTP
	}
	var out []subject
	for _, g := range Guarantees {
		out = append(out, subject{g.String(), func(dir string, l Load) (Result, error) { return through(dir, l, g) }})
	}
	if p.Path == InProcess {
		out = append(out, subject{RawStore, s.rawStore})
	}
	return out
}

// Run measures. The report has no command, version or time of its start: the
// caller knows them. When ctx ends, so does the study, with its error; what it
// made in Dir is removed in either case.
func (s Study) Run(ctx context.Context) (*Report, error) {
	points, err := s.Points()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	total := 1
	for _, p := range points {
		total += len(s.subjects(p)) * s.Rounds
	}
	done := 0
	next := func(what string) {
		if s.Progress != nil {
			each := s.Round + s.Round/5
			if done > 0 {
				each = time.Since(began) / time.Duration(done)
			}
			s.Progress(Progress{Done: done, Total: total, Left: time.Duration(total-done) * each, Now: what})
		}
		done++
	}
	r := &Report{Version: reportVersion, Machine: thisMachine(s.Dir), Workload: s.workload()}
	if InMemory(r.Machine.FileSystem) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s is on %s, in memory: a sync costs nothing there, and what is durable is gone with the machine. Measure a directory on a disk.", s.Dir, r.Machine.FileSystem))
	}
	next("the disk")
	point := Point{"disk", 1, 1}
	disk, err := s.measure(ctx, point, Disk)
	if err != nil {
		return nil, fmt.Errorf("the disk: %w", err)
	}
	disk.finish()
	r.Disk = measurementOf(point, "", &disk)
	for _, p := range points {
		if err := s.point(ctx, p, r, next); err != nil {
			return nil, err
		}
	}
	r.Took = time.Since(began)
	r.Warnings = append(r.Warnings, r.disturbed()...)
	return r, nil
}

// point measures all subjects of a point in turns. Each round begins with
// another one, so that none is always the first after a pause.
func (s Study) point(ctx context.Context, p Point, r *Report, next func(string)) error {
	subjects := s.subjects(p)
	results := make([]Result, len(subjects))
	for round := range s.Rounds {
		for i := range subjects {
			at := (round + i) % len(subjects)
			what := subjects[at]
			next(p.String() + ": " + what.name)
			more, err := s.measure(ctx, p, what.run)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", p, what.name, err)
			}
			results[at].merge(more)
		}
	}
	for i, what := range subjects {
		results[i].finish()
		at, guarantee := p, what.name
		if guarantee == RawStore {
			at.Path, guarantee = RawStore, ""
		}
		r.Measurements = append(r.Measurements, measurementOf(at, guarantee, &results[i]))
	}
	for i := 1; i < len(subjects); i++ {
		r.Ratios = append(r.Ratios, ratioOf(p, subjects[0].name, &results[0], subjects[i].name, &results[i]))
	}
	return nil
}

// measure measures once, in a directory of its own.
func (s Study) measure(ctx context.Context, p Point, do func(dir string, l Load) (Result, error)) (r Result, err error) {
	dir, err := os.MkdirTemp(s.Dir, "semel-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err = do(dir, Load{Callers: p.Callers, Group: p.Batch, For: s.Round, Agents: s.Agents, Stop: ctx.Done()})
	return r, errors.Join(err, ctx.Err())
}

func (s Study) rawStore(dir string, l Load) (r Result, err error) {
	db, err := openRaw(dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return warmed(l, func(l Load) (Result, error) { return runRaw(db, l) })
}

func (s Study) inProcess(dir string, l Load, g message.Guarantee) (r Result, err error) {
	b, err := Open(dir, s.Store, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return warmed(l, func(l Load) (Result, error) { return b.run(l, b.action(g), b.keys(g)) })
}

func (s Study) overHTTP(dir string, l Load, g message.Guarantee) (r Result, err error) {
	b, err := Open(dir, s.Store, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	h, err := serveHTTP(b)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	all, err := h.dial(l)
	if err != nil {
		return r, err
	}
	defer all.close()
	return warmed(l, func(l Load) (Result, error) { return h.run(l, all, g) })
}

// warmed offers a load for a fifth of its time first: a new store's files are
// not allocated yet, and its agents not read.
func warmed(l Load, offer func(Load) (Result, error)) (Result, error) {
	warm := l
	warm.For = l.For / 5
	if r, err := offer(warm); err != nil {
		return r, err
	}
	return offer(l)
}

func (s Study) workload() Workload {
	return Workload{Agents: s.Agents, BodyBytes: payload, StateBytes: payload, Round: s.Round, Rounds: s.Rounds}
}
