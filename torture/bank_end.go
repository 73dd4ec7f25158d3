package torture

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/torture/check"
	"github.com/semel-dev/semel/twopc"
)

// healing is how long after the last fault transactions may be open.
const healing = 30 * time.Second

func (s *stage) hasBank() bool { return s.opt.Transactions > 0 }

func (s *stage) bankTimeout() time.Duration {
	if s.isCluster() {
		return clusterTimeout
	}
	return bankTimeout
}

// fund has a client bring the money into the bank, before anybody moves it.
func (s *stage) fund(ctx context.Context) error {
	if !s.hasBank() {
		return nil
	}
	if err := s.clients[0].tell("fund"); err != nil {
		return err
	}
	return s.tally.await(ctx, "funded", 1)
}

// readBank reads the whole bank by a transaction after the last fault, and writes
// down which ones are not over.
func (s *stage) readBank(ctx context.Context, o *operator) error {
	if !s.hasBank() {
		return nil
	}
	s.opt.Progress(0, 0, "the whole bank is read")
	if err := o.open(ctx); err != nil {
		return err
	}
	if err := s.clients[0].tell("last"); err != nil {
		return err
	}
	return s.tally.await(ctx, "read", 1)
}

// open writes down which transactions of the bank are not over, when there is none,
// or none should be there any more.
func (o *operator) open(ctx context.Context) error {
	for late := time.Now().Add(healing); ; {
		all, err := o.listOpen(ctx)
		if err != nil {
			return err
		}
		if len(all) > 0 && time.Now().Before(late) {
			if !sleep(ctx, pause) {
				return context.Cause(ctx)
			}
			continue
		}
		for _, t := range all {
			o.write(check.Record{Type: check.Open, Tx: t.Tx, Text: describeOpen(t)})
		}
		o.write(check.Record{Type: check.Listed, Left: len(all)})
		return nil
	}
}

func (o *operator) listOpen(ctx context.Context) (all []twopc.Info, err error) {
	for _, state := range []string{string(twopc.Undecided), "in_doubt"} {
		for t, err := range o.client.Transactions(ctx, state) {
			if err != nil {
				return nil, err
			}
			if o.moves(t) || !o.shared {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// moves says whether a transaction is of this run.
func (o *operator) moves(t twopc.Info) bool {
	for _, b := range t.Branches {
		if strings.HasPrefix(b.Agent, accountType+o.run+"-") {
			return true
		}
	}
	return false
}

// describeOpen tells who has not voted, or has not acknowledged.
func describeOpen(t twopc.Info) string {
	var waits []string
	for _, b := range t.Branches {
		if t.State == twopc.Undecided && b.Vote == twopc.VoteAsked || t.State != twopc.Undecided && b.Acked.IsZero() {
			waits = append(waits, b.Agent+" "+b.Error)
		}
	}
	return fmt.Sprintf("%s, and waits for %s", t.State, strings.Join(waits, ", "))
}
