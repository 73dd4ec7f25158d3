package sim

import (
	"bytes"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// What an agent promised is, byte for byte, what its step makes of the state before;
// it ends by what the coordinator decided, and by nothing else; and until then the
// agent takes no step.

// promised is what a row of TableState says of a promise.
type promised struct {
	tx   string
	data []byte // nil if the step changed nothing
}

// decision is what a coordinator has decided, in an accepted unit.
type decision struct {
	what  int64
	shard message.Shard
	seq   message.Seq

	epochs map[string]message.Epoch // in which banks promised
}

func (s *Sim) promisedBy(k message.RowKey, value []byte) promised {
	tx, data, err := core.ReadPromised(k, value)
	if err != nil {
		s.failf("%v", err)
	}
	return promised{tx, bytes.Clone(data)}
}

func (s *Sim) tx(op uint32) *decision {
	d := s.txs[op]
	if d == nil {
		d = &decision{epochs: make(map[string]message.Epoch)}
		s.txs[op] = d
	}
	return d
}

func (s *Sim) commits(op uint32) bool { return s.tx(op).what == committed }

// noteDecision remembers what a coordinator's step decides.
func (s *Sim) noteDecision(e *entry, st *doneStep) {
	if st.agent.Type != "coord" {
		return
	}
	for _, c := range st.changes {
		if c.name.kind() != nDecided {
			continue
		}
		d := s.tx(uint32(c.name))
		if d.what != 0 {
			s.failf("%s decides twice: %d, then %d", st.agent, d.what, c.value)
		}
		d.what, d.shard, d.seq = c.value, e.shard, e.version.Seq
	}
	if st.ends {
		s.reach(TxForgotten)
	}
}

// lostDecisions forgets what was decided in units that are lost.
func (s *Sim) lostDecisions(shard message.Shard, kept message.Seq) {
	for _, d := range s.txs {
		if d.what != 0 && d.shard == shard && d.seq > kept {
			d.what = 0
		}
	}
}

// endPromise does to an agent what became of its promise.
func (s *Sim) endPromise(e *entry, f *folded) {
	d := s.tx(opOfTx(f.promised.tx))
	switch d.what {
	case committed:
		s.reach(Kept)
		if f.promised.data != nil {
			f.version, f.data = f.version+1, f.promised.data
		}
	case aborted:
		s.reach(Dropped)
	default:
		s.failf("%s: %s is prepared for %s, which nobody decided, and takes another message or forgets", e, f.agent, f.promised.tx)
	}
	if d.epochs[f.key] != e.version.Epoch {
		s.reach(PromiseRecovered)
	}
	f.promised = promised{}
}

// checkPromise judges what the unit leaves of promises.
func (s *Sim) checkPromise(e *entry, f *folded, now promised) {
	if f.promised.tx != "" && f.promised.tx != now.tx {
		s.endPromise(e, f)
	}
	switch {
	case now.tx == "":
	case f.promised.tx != "":
		if !bytes.Equal(f.promised.data, now.data) {
			s.failf("%s: %s has promised %x to %s, and now %x", e, f.agent, f.promised.data, now.tx, now.data)
		}
	case f.prepare == nil || f.prepare.prepares != now.tx:
		s.failf("%s: %s has promised something to %s, and took no such step", e, f.agent, now.tx)
	default:
		s.reach(Promised)
		s.tx(opOfTx(now.tx)).epochs[f.key] = e.version.Epoch
		want := f.prepare.apply(bytes.Clone(f.data))
		if now.data == nil && !bytes.Equal(want, f.data) || now.data != nil && !bytes.Equal(want, now.data) {
			s.failf("%s: %s promises %x to %s; its step comes to %x", e, f.agent, now.data, now.tx, want)
		}
	}
}
