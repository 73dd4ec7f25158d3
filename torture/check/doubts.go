package check

import (
	"cmp"
	"slices"
)

// callTime is how long the server waits for the outside world at least. Before
// that it has no reason of its own to believe that a call's answer is lost.
const callTime = int64(2e9)

// before says that an event was over when another one came. The lines of one file
// say that for themselves.
func (e *event) before(f *event) bool {
	if e.file == f.file {
		return e.line < f.line && e.At <= f.At
	}
	return e.At <= f.At+maxSkew
}

// calledAgain judges whether the outside world was called again for a reason
// that the policy knows: after the former call, a person's word, or a probe that
// found nothing. Each is good for one call.
func (j *judge) calledAgain(o *operation, w *outside) {
	var reasons []*event
	switch o.policy {
	case Keyed:
		return
	case Ask:
		for _, s := range w.words {
			if s.Resolution == "not_done" {
				reasons = append(reasons, s)
			}
		}
	case Probe:
		reasons = w.notFound
	}
	for i := 1; i < len(w.all); i++ {
		last, now := w.all[i-1], w.all[i]
		k := slices.IndexFunc(reasons, func(e *event) bool { return last.before(e) && e.before(now) })
		if k < 0 {
			j.found(CodeBlindCall, []place{last.place, now.place}, "%s was called again, and nobody had said that the call before was not done", o)
			return
		}
		reasons = reasons[k+1:]
	}
}

// unsettled judges that what nobody could know was in doubt, or unknown for good.
func (j *judge) unsettled(o *operation, w *outside) {
	var nothing *event
	for _, e := range w.all {
		if e.Told != ToldNothing {
			return
		}
		nothing = e
	}
	if nothing == nil || o.first == nil {
		return
	}
	lines := []place{o.begun().callAt, nothing.place, o.first.retAt}
	switch {
	case o.policy == Ask && len(w.words) == 0 && o.first.answered != Info:
		j.found(CodeDoubtMissing, lines, "the outside world gave no answer about %s, nobody settled that, and it was decided all the same", o)
	case o.policy == AtMostOnce && o.first.answered != Info:
		j.found(CodeUnknownMissing, lines, "the outside world gave no answer about %s, and it was decided all the same", o)
	}
}

// settled judges that the operator's word was the truth.
func (j *judge) settled(o *operation, w *outside) {
	for _, s := range w.words {
		if o.policy != Ask && o.policy != Probe {
			j.found(CodeDoubtForbidden, []place{o.begun().callAt, s.place}, "%s was in doubt, which only the policies ask and probe allow", o)
		}
		i := slices.IndexFunc(w.done, func(e *event) bool { return e.At <= s.At })
		if s.Resolution == "done" && (i < 0 || w.done[i].Receipt != s.Receipt) || s.Resolution == "not_done" && i >= 0 && w.done[i].At < s.At-maxSkew {
			j.found(CodeSettledWrong, append(places(w.done), s.place), "the doubt of %s was settled as %s, and that is not so", o, s.Resolution)
		}
	}
}

// causes judges that something had happened by which the server could not know
// what became of a call, before it said that it does not; and that of what is
// unknown for good no call came later.
func (j *judge) causes(o *operation, w *outside) {
	begun := o.begun()
	if r := o.first; r != nil && r.code == codeUnknown && o.policy == AtMostOnce {
		broken := j.h.broken(begun.call, r.ret)
		if !broken && !w.silent(begun.call, r.ret) {
			j.found(CodeUnknownFalse, append([]place{begun.callAt, r.retAt}, places(w.all)...), "%s is said to be unknown for good, and nothing had happened by which its answer could be lost", o)
		}
		late := r.ret + maxSkew
		if broken {
			late = r.ret + callTime // of a call that was on its way
		}
		for _, e := range w.all {
			if e.At > late {
				j.found(CodeEffectTime, []place{begun.callAt, r.retAt, e.place}, "%s was called after it was answered that it is unknown for good", o)
			}
		}
	}
	if o.policy != Ask && o.policy != Probe {
		return
	}
	from := begun.call
	for _, d := range doubts(o, w) {
		if !j.h.broken(from, d.at) && !w.silent(from, d.at) {
			j.found(CodeDoubtFalse, append([]place{begun.callAt, d.place}, places(w.all)...), "%s was in doubt, and nothing had happened by which its answer could be lost", o)
			return
		}
		from = d.until
	}
}

// doubt is one that an effect was in, as far as the history shows it.
type doubt struct {
	at    int64 // when it was first heard of
	until int64 // when a person settled it
	place
}

// doubts are those of an operation. Of the second one and later ones the word
// shows that they were; an answer may be one that the word has overtaken.
func doubts(o *operation, w *outside) (all []doubt) {
	words := slices.SortedFunc(slices.Values(w.words), func(a, b *event) int { return cmp.Compare(a.At, b.At) })
	for _, s := range words {
		all = append(all, doubt{s.At, s.At, s.place})
	}
	for _, r := range o.requests {
		switch {
		case r.code != codeInDoubt:
		case len(all) == 0:
			all = append(all, doubt{r.ret, r.ret, r.retAt})
		case r.ret < all[0].at:
			all[0].at, all[0].place = r.ret, r.retAt
		}
	}
	return all
}

// silent says that the outside world did not answer a call meanwhile.
func (w *outside) silent(from, to int64) bool {
	return slices.ContainsFunc(w.all, func(e *event) bool {
		return e.Told == ToldNothing && e.At >= from-maxSkew && e.At <= to+maxSkew
	})
}

// broken says that the server was killed or stopped meanwhile, or that it was
// long enough for it to lose patience. That a node ended in order is no excuse: it
// waits for its effects.
func (h *history) broken(from, to int64) bool {
	return to-from >= callTime || slices.ContainsFunc(h.outages, func(e *event) bool {
		return e.Fault != FaultRestart && e.At <= to+maxSkew && max(e.At, e.Until) >= from-maxSkew
	})
}
