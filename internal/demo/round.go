package demo

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// maxDelay bounds the wait before a kill at a random moment.
const maxDelay = 3 * time.Millisecond

// Scene is a line of the story: one kill, and what came of it.
type Scene struct {
	Round     int           `json:"round"`
	Payment   string        `json:"payment"`
	Way       Way           `json:"way"`
	Cents     int64         `json:"cents"`
	Killed    Instant       `json:"killed"`
	By        string        `json:"by"`           // who sent SIGKILL: the demo or the provider
	Payments  int           `json:"payments"`     // in this round
	CutOff    int           `json:"cut_off"`      // connections of clients that broke, in this round
	Restarted time.Duration `json:"restarted_ns"` // how long the new server took to start
	Then      string        `json:"then"`         // what the clients of the payment got
	InDoubt   int           `json:"in_doubt"`     // payments of this round that are in doubt
}

// round plays the payments of one round: all clients at once, and one kill.
func (d *stage) round(ctx context.Context, number int, payments []*payment) (Scene, error) {
	doomed := payments[0]
	s := Scene{Round: number, Payment: doomed.id, Way: doomed.way, Cents: doomed.cents, Killed: doomed.kill, By: "the demo", Payments: len(payments)}
	before, err := d.server.await(ctx)
	if err != nil {
		return s, err
	}
	first := taps{}
	switch doomed.kill {
	case Arrived, Charged:
		s.By = "the provider"
		d.server.doom()
		if err := d.provider.order(ctx, order{doomed.id, doomed.kill}); err != nil {
			return s, err
		}
	default:
		first = d.killer(ctx, doomed)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, p := range payments {
		for i := range p.clients {
			t := first
			if p != doomed {
				t = taps{}
				if i == clients-1 {
					t.sent = func() bool { return true } // the network fails it
				}
			}
			all.Go(func() {
				if err := d.settle(ctx, p, &p.clients[i], t); err != nil {
					cancel(err)
				}
			})
		}
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return s, err
	}
	after, err := d.server.awaitNext(ctx, before)
	if err != nil {
		return s, err
	}
	s.Restarted = after.took
	for _, p := range payments {
		for i := range p.clients {
			s.CutOff += p.clients[i].lost
		}
		if p.doubted() {
			s.InDoubt++
		}
	}
	s.Then = doomed.told()
	return s, nil
}

// killer is what kills the server in the way of a payment's first requests.
func (d *stage) killer(ctx context.Context, p *payment) taps {
	var once sync.Once
	kill := func() { once.Do(d.server.kill) }
	switch p.kill {
	case Before:
		// Only when none of the clients has sent all of it is it certain that
		// there is no commit yet.
		var waiting atomic.Int32
		killed := make(chan struct{})
		return taps{last: func() bool {
			if waiting.Add(1) == clients {
				kill()
				close(killed)
			}
			select {
			case <-killed:
			case <-ctx.Done():
			}
			return true
		}}
	case After:
		return taps{reply: func() bool { kill(); return true }}
	default:
		return taps{sent: func() bool {
			once.Do(func() {
				time.Sleep(time.Duration(p.delay * float64(maxDelay)))
				d.server.kill()
			})
			return false
		}}
	}
}

func (p *payment) doubted() bool {
	for i := range p.clients {
		if p.clients[i].doubted {
			return true
		}
	}
	return false
}

// told says what the clients of a payment got when the server was back.
func (p *payment) told() string {
	var doubts, replayed, held, same int
	for i := range p.clients {
		c := &p.clients[i]
		if c.held != nil {
			held++
		}
		switch {
		case c.final == nil:
			doubts++
			continue
		case c.final.replayed:
			replayed++
		}
		if c.held != nil && bytes.Equal(c.held, c.final.body) {
			same++
		}
	}
	switch {
	case doubts > 0:
		return fmt.Sprintf("in doubt: %d of %d clients are told so, and it is not called again", doubts, clients)
	case p.way == Probe && p.kill == Charged:
		return fmt.Sprintf("the probe finds the charge, and all %d clients get its receipt", clients)
	case p.way == Probe && p.kill == Arrived:
		return fmt.Sprintf("the probe finds nothing, it is called again, and all %d clients get the receipt", clients)
	case held > 0 && same == held && replayed == clients:
		return fmt.Sprintf("all %d clients get, as a replay, the reply that the kill kept back, byte for byte", clients)
	case replayed == clients:
		return fmt.Sprintf("the commit was done: all %d clients get its reply as a replay", clients)
	}
	return fmt.Sprintf("one retry does it, and %d of %d clients get its reply as a replay", replayed, clients)
}
