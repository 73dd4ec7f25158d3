package bench

import (
	"errors"
	"fmt"
)

// saga is DTM's of two branches over HTTP. The caller waits for its end. Its
// branches run one after the other, or both at once.
func (d *dtm) saga(b *branches, atOnce bool) way {
	// The transaction's name is twice in a text within a text.
	const form = `{"gid":"%[1]s","trans_type":"saga","wait_result":true,"concurrent":%[2]t,` +
		`"steps":[{"action":"%[3]s","compensate":"%[4]s"},{"action":"%[5]s","compensate":"%[6]s"}],"payloads":[%[7]q,%[7]q]}`
	name := "DTM, saga"
	if atOnce {
		name += ", branches at once"
	}
	return way{
		name: name, calls: []string{takeOut, takeIn}, used: d.used,
		dial: func() (caller, error) {
			c, err := connect(d.address)
			if err != nil {
				return caller{}, err
			}
			return caller{
				transact: func(tx string) error {
					return c.post("/api/dtmsvr/submit", "", fmt.Sprintf(form, tx, atOnce,
						b.url(takeOut), b.url(takeOut+undo), b.url(takeIn), b.url(takeIn+undo), branchBody(tx)))
				},
				close: func() { _ = c.conn.Close() },
			}, nil
		},
	}
}

// tcc is what DTM has that is most like a two-phase commit of participants that
// are no databases: the caller begins the transaction, registers each participant
// and has it try (prepare), all as DTM's own client does, and submits, which
// decides; DTM then has each confirm (commit). Both waits are measured: for the
// decision, after which nothing can go wrong, and for the end.
//
// DTM's XA has the same messages, and a database behind each participant; the
// participants register themselves.
func (d *dtm) tcc(b *branches, toTheEnd bool) way {
	name := "DTM, TCC, until decided"
	if toTheEnd {
		name = "DTM, TCC, to the end"
	}
	return way{
		name: name, calls: []string{takeOut + try, takeIn + try, takeOut + confirm, takeIn + confirm}, used: d.used,
		dial: func() (caller, error) {
			manager, err := connect(d.address)
			if err != nil {
				return caller{}, err
			}
			participants, err := connect(b.address)
			if err != nil {
				return caller{}, errors.Join(err, manager.conn.Close())
			}
			t := tccCaller{manager: manager, participants: participants, branches: b, toTheEnd: toTheEnd}
			return caller{transact: t.transact, close: func() { _ = errors.Join(manager.conn.Close(), participants.conn.Close()) }}, nil
		},
	}
}

type tccCaller struct {
	manager, participants *client
	branches              *branches
	toTheEnd              bool
}

func (t *tccCaller) transact(tx string) error {
	whole := fmt.Sprintf(`{"gid":%q,"trans_type":"tcc","wait_result":%t}`, tx, t.toTheEnd)
	if err := t.manager.post("/api/dtmsvr/prepare", "", whole); err != nil {
		return err
	}
	body := branchBody(tx)
	for i, call := range []string{takeOut, takeIn} {
		err := t.manager.post("/api/dtmsvr/registerBranch", "", fmt.Sprintf(`{"gid":%q,"trans_type":"tcc","branch_id":"%02d","data":%q,"confirm":%q,"cancel":%q}`,
			tx, i+1, body, t.branches.url(call+confirm), t.branches.url(call+cancel)))
		if err != nil {
			return err
		}
		if err := t.participants.post("/"+call+try, "", body); err != nil {
			return err
		}
	}
	return t.manager.post("/api/dtmsvr/submit", "", whole)
}
