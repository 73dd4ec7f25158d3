package check

import "slices"

// outside is what the outside world noted of one operation.
type outside struct {
	all      []*event // as they arrived
	done     []*event // of these, that had their effect
	words    []*event // that the operator gave about it
	notFound []*event // probes that did not find it
	key      string   // of the effect
}

// effects judges the outside world's ledger (rules 1 and 5). It believes the
// ledger in everything.
func (j *judge) effects() {
	by := j.byOperation()
	for _, o := range j.h.order {
		if o.kind != OpEffect {
			continue
		}
		w := by[o.key]
		if w == nil {
			w = &outside{}
		}
		j.howOften(o, w)
		j.whatWasDone(o, w)
		j.calledAgain(o, w)
		j.unsettled(o, w)
		j.settled(o, w)
		j.causes(o, w)
	}
}

// byOperation groups the ledger by the caller's key, and finds what belongs
// nowhere.
func (j *judge) byOperation() map[string]*outside {
	by := make(map[string]*outside)
	owner := make(map[string]*event) // of an effect key: who came with it first
	for _, e := range j.h.arrivals {
		o := j.h.byKey[e.Key]
		if o == nil || o.kind != OpEffect {
			j.found(CodeEffectUnasked, []place{e.place}, "the outside world was called for %q, which nobody asked for", e.Key)
			continue
		}
		w := by[e.Key]
		if w == nil {
			w = &outside{key: e.EffectKey}
			by[e.Key] = w
		}
		if w.key != e.EffectKey {
			j.found(CodeEffectKeyChanged, []place{w.all[0].place, e.place}, "%s came with two effect keys", o)
		}
		if was := owner[e.EffectKey]; was == nil {
			owner[e.EffectKey] = e
		} else if was.Key != e.Key {
			j.found(CodeEffectKeyShared, []place{was.place, e.place}, "%q and %q came with one effect key", was.Key, e.Key)
		}
		w.all = append(w.all, e)
		if e.Type == Effect {
			w.done = append(w.done, e)
		}
	}
	for _, e := range j.h.settles {
		// The operator reads from the doubt whose it is; it may never have arrived.
		w := by[e.Key]
		if w == nil {
			w = &outside{key: e.EffectKey}
			by[e.Key] = w
		}
		w.words = append(w.words, e)
	}
	for _, e := range j.h.probes {
		if was := owner[e.EffectKey]; was != nil && !e.Found {
			by[was.Key].notFound = append(by[was.Key].notFound, e)
		}
	}
	return by
}

// howOften compares the number of effects with what the clients were told.
func (j *judge) howOften(o *operation, w *outside) {
	told := decisionLines(o)
	switch n := len(w.done); {
	case n > 1:
		j.found(CodeEffectDoubled, append(told, places(w.done)...), "%s took effect %d times", o, n)
	case o.failed() && n > 0:
		j.found(CodeEffectAfterFail, append(told, places(w.done)...), "%s failed, and took effect", o)
	case o.first == nil:
	case o.first.answered == OK && n == 0:
		j.found(CodeEffectLost, told, "%s is done, and the outside world does not know it", o)
	case o.first.answered == Fail && !slices.ContainsFunc(w.all, func(e *event) bool { return e.Told == ToldDeclined && e.At <= o.first.ret+maxSkew }):
		j.found(CodeRejectionFalse, told, "%s was answered rejected: %s, and the outside world has not declined it", o, o.first.code)
	}
}

// whatWasDone compares an effect with what was asked for and what was told.
func (j *judge) whatWasDone(o *operation, w *outside) {
	begun := o.begun()
	for _, e := range w.all {
		if e.Cents != o.cents || e.Policy != o.policy {
			j.found(CodeEffectMismatch, []place{begun.callAt, e.place}, "%s is something else to the outside world: %d cents, %s", o, e.Cents, e.Policy)
		}
	}
	if o.first == nil || len(w.done) != 1 {
		return
	}
	e := w.done[0]
	if o.first.answered == OK && o.first.receipt != "" && o.first.receipt != e.Receipt {
		j.found(CodeReceiptMismatch, []place{o.first.callAt, o.first.retAt, e.place}, "%s was answered with the receipt %q", o, o.first.receipt)
	}
	if e.At < begun.call-maxSkew || o.first.answered == OK && e.At > o.first.ret+maxSkew {
		j.found(CodeEffectTime, []place{begun.callAt, e.place, o.first.retAt}, "%s took effect before it was asked for, or after it was answered", o)
	}
}

func decisionLines(o *operation) []place {
	r := o.first
	if r == nil {
		r = o.begun()
	}
	return []place{r.callAt, r.retAt}
}

func places(events []*event) (all []place) {
	for _, e := range events {
		all = append(all, e.place)
	}
	return all
}
