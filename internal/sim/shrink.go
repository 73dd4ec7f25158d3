package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Shrink looks for a smaller run that fails too: first without whole kinds of
// faults, then with fewer ops, then without single strikes (delta debugging:
// Zeller and Hildebrandt, 2002). It makes at most budget runs. The failure may
// become another one; what shrinks is what a person has to look at.
func Shrink(r *Result, budget int) *Result {
	s := &shrinker{best: r, budget: budget}
	s.kinds()
	s.ops()
	s.strikes()
	s.kinds()
	s.ops()
	return s.best
}

type shrinker struct {
	best   *Result
	budget int
}

// try runs other options, and keeps them if the run fails.
func (s *shrinker) try(o Options) bool {
	if s.budget <= 0 {
		return false
	}
	s.budget--
	r := Run(o)
	if r.Failure == "" {
		return false
	}
	s.best = r
	return true
}

// kinds leaves out kinds of faults.
func (s *shrinker) kinds() {
	var had Kinds
	for k, n := range s.best.Counts.Strikes {
		if n > 0 {
			had = append(had, Kind(k))
		}
	}
	o := s.best.Options
	o.Faults = Kinds{}
	if s.try(o) {
		return // it needs none
	}
	for _, k := range had {
		o := s.best.Options
		if o.Faults == nil {
			o.Faults = had
		}
		o.Faults = slices.DeleteFunc(slices.Clone(o.Faults), func(other Kind) bool { return other == k })
		o.Skip = maps.Clone(o.Skip)
		delete(o.Skip, k)
		s.try(o)
	}
}

// ops makes the workload smaller.
func (s *shrinker) ops() {
	for _, part := range []float64{0.1, 0.25, 0.5, 0.75, 0.9} {
		for {
			o := s.best.Options
			n := max(int(float64(o.Ops)*part), 1)
			if n >= o.Ops {
				break
			}
			o.Ops = n
			if !s.try(o) {
				break
			}
		}
	}
}

// strikes leaves out strikes: halves of those that are left, then quarters, and
// so on down to single ones.
func (s *shrinker) strikes() {
	for size := (len(s.best.Strikes) + 1) / 2; size > 0 && s.budget > 0; size /= 2 {
		for from := 0; from < len(s.best.Strikes) && s.budget > 0; {
			o := s.best.Options
			o.Skip = make(Skips)
			for k, list := range s.best.Options.Skip {
				o.Skip[k] = slices.Clone(list)
			}
			for _, st := range s.best.Strikes[from:min(from+size, len(s.best.Strikes))] {
				o.Skip[st.Kind] = append(o.Skip[st.Kind], st.Index)
			}
			if !s.try(o) {
				from += size
			}
		}
	}
}

// Smaller reports what the run shrank to.
func (r *Result) Smaller(budget int) string {
	small := Shrink(r, budget)
	if small.form != r.form {
		return "smaller, but it fails in another way: " + small.Report()
	}
	return "smaller: " + small.Report()
}

// Command repeats a run.
func (o Options) Command() string {
	var b strings.Builder
	fmt.Fprintf(&b, "make sim SEED=%d OPS=%d", o.Seed, o.Ops)
	if o.Faults != nil {
		fmt.Fprintf(&b, " FAULTS=%s", o.Faults)
	}
	if text := o.Skip.String(); text != "" {
		fmt.Fprintf(&b, " SKIP='%s'", text)
	}
	return b.String()
}

// Report is what a person needs of a run that failed: what is wrong, which
// faults it took, and how to see it again.
func (r *Result) Report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s\nwith %d ops, %d steps and these faults:", r.Options.Seed, r.Failure, r.Options.Ops, r.Counts.Steps)
	if len(r.Strikes) == 0 {
		b.WriteString(" none")
	}
	for i, st := range r.Strikes {
		if i == 40 {
			fmt.Fprintf(&b, " … (%d in all)", len(r.Strikes))
			break
		}
		fmt.Fprintf(&b, " %s:%d at %.3f ms;", st.Kind, st.Index, float64(st.At)/1e6)
	}
	fmt.Fprintf(&b, "\n%s\nrerun: %s", r.Config, r.Options.Command())
	return b.String()
}
