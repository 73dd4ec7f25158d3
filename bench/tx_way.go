package bench

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/google/uuid"
)

// way is one in which transactions of two participants are run.
type way struct {
	name  string
	calls []string               // what every transaction calls at the branches; nothing, if its participants are none
	dial  func() (caller, error) // what one of the load's callers needs
	used  func() usage           // so far
}

// caller runs one transaction after the other.
type caller struct {
	// transact runs one and returns when it has ended, or is decided if the way
	// says so. It has the name tx, which is new.
	transact func(tx string) error
	close    func()
}

// usage is what serving transactions takes, of others than this process:
// processor time of the manager's and of its database's; and what the database
// did for it; and how many units Semel committed, wherever.
type usage struct {
	manager, database time.Duration
	commits, syncs    int64 // of the database, those of single statements that only read among them
	units             int64
}

func (u usage) minus(o usage) usage {
	return usage{u.manager - o.manager, u.database - o.database, u.commits - o.commits, u.syncs - o.syncs, u.units - o.units}
}

func (u usage) plus(o usage) usage {
	return usage{u.manager + o.manager, u.database + o.database, u.commits + o.commits, u.syncs + o.syncs, u.units + o.units}
}

// nobody has a share of its own in the processor time.
func nobody() usage { return usage{} }

// settleWithin is the patience with calls of transactions that have ended.
const settleWithin = 30 * time.Second

// measured is a way that takes turns, and what it used meanwhile.
type measured struct {
	contender
	way      way
	branches *branches
	patience time.Duration // for calls that come after their transactions have ended for the callers
	used     usage
	ops      int
	again    int           // calls of branches that came more than once
	own      time.Duration // this process's part, of callers and branches
	elapsed  time.Duration
}

func newMeasured(w way, b *branches, callers int) *measured {
	m := &measured{way: w, branches: b, patience: settleWithin}
	m.contender = contender{name: w.name, load: Load{Callers: callers, Group: 1}, run: m.offer}
	return m
}

// offer offers a load. The time until the last branch is called counts, so that
// work is not made cheaper by putting it off.
func (m *measured) offer(l Load) (r Result, err error) {
	callers := make([]caller, 0, l.Callers)
	defer func() {
		for _, c := range callers {
			c.close()
		}
	}()
	for range l.Callers {
		c, err := m.way.dial()
		if err != nil {
			return r, err
		}
		callers = append(callers, c)
	}
	ended := make([][]string, l.Callers)
	before, began, own := m.way.used(), time.Now(), cpuTime()
	r, err = run(l, func(c, _ int) error {
		tx := uuid.Must(uuid.NewV7()).String()
		err := callers[c].transact(tx)
		if err == nil && len(m.way.calls) > 0 {
			ended[c] = append(ended[c], tx)
		}
		return err
	})
	if err != nil {
		return r, err
	}
	if len(m.way.calls) > 0 {
		if err := m.settle(ended); err != nil {
			return r, err
		}
	}
	r.Elapsed, r.cpu = time.Since(began), cpuTime()-own
	r.rounds = []float64{float64(r.Ops) / r.Elapsed.Seconds()}
	m.used, m.ops = m.used.plus(m.way.used().minus(before)), m.ops+r.Ops
	m.own, m.elapsed = m.own+r.cpu, m.elapsed+r.Elapsed
	return r, nil
}

func (m *measured) settle(ended [][]string) error {
	ctx, stop := context.WithTimeoutCause(context.Background(), m.patience, errors.New("it took too long"))
	defer stop()
	var all []string
	for _, some := range ended {
		all = append(all, some...)
	}
	again, err := m.branches.called(ctx, all, m.way.calls)
	m.again += again
	return err
}

// connect opens one connection that is kept.
func connect(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return newClient(conn, address), nil
}

// callsAlone calls both branches, and nobody watches over them: what the callers
// and the branches cost by themselves.
func callsAlone(b *branches) way {
	return way{
		name: "the two calls alone, no transaction", calls: []string{takeOut, takeIn}, used: nobody,
		dial: func() (caller, error) {
			c, err := connect(b.address)
			if err != nil {
				return caller{}, err
			}
			return caller{
				transact: func(tx string) error {
					body := branchBody(tx)
					if err := c.post("/"+takeOut, "", body); err != nil {
						return err
					}
					return c.post("/"+takeIn, "", body)
				},
				close: func() { _ = c.conn.Close() }, // there is nothing under way
			}, nil
		},
	}
}
