package check

// buckets is how many columns the timeline has.
const buckets = 240

// bucket is what happened in one stretch of the run.
type bucket struct {
	OK, Fail, Info              int // answers
	Cut, Delay, Duplicate, Lost int // of the network
	Effects, Doubts             int
}

// span is a fault of a server, until it was ready again.
type span struct {
	Fault       string
	From, Until int64
}

// timeline is the run as the page shows it.
type timeline struct {
	Length  int64 // ns
	Buckets []bucket
	Spans   []span
}

func (h *history) timeline() timeline {
	t := timeline{Length: max(h.end, 1), Buckets: make([]bucket, buckets)}
	at := func(when int64) *bucket {
		return &t.Buckets[min(max(int(float64(when)/float64(t.Length)*buckets), 0), buckets-1)]
	}
	for _, r := range h.requests {
		if r.phase == PhaseAgain {
			continue // so many at once would dwarf the rest
		}
		switch r.answered {
		case OK:
			at(r.ret).OK++
		case Fail:
			at(r.ret).Fail++
		case Info:
			at(r.ret).Info++
		}
	}
	for _, e := range h.arrivals {
		if e.Type == Effect {
			at(e.At).Effects++
		}
	}
	for _, e := range h.settles {
		at(e.At).Doubts++
	}
	for _, e := range h.faults {
		switch b := at(e.At); e.Fault {
		case FaultKill, FaultPause, FaultRestart, FaultMidway:
			t.Spans = append(t.Spans, span{e.Fault, e.At, max(e.Until, e.At)})
		case FaultCut:
			b.Cut++
		case FaultDelay:
			b.Delay++
		case FaultDuplicate, FaultTwice:
			b.Duplicate++
		case FaultLostReply:
			b.Lost++
		}
	}
	return t
}
