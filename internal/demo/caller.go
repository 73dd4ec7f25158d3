package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// account is the one that debits are taken from.
const account = "account/shop"

// caller is one client of a payment: it repeats its request, with the key of
// the payment, until it has an answer that is final, or hears of a doubt.
type caller struct {
	requests int    // how often it sent it
	lost     int    // how often it was cut off, by a kill or by the network
	doubted  bool   // it heard that the payment is in doubt
	held     []byte // the reply that the kill kept from it
	final    *reply
}

func (p *payment) invoice() []byte {
	return fmt.Appendf(nil, `{"invoice":%q,"cents":%d}`, p.id, p.cents)
}

func (p *payment) amount() []byte { return fmt.Appendf(nil, `{"cents":%d}`, p.cents) }

// pause is between two attempts. The server is back, or busy, soon.
const pause = 20 * time.Millisecond

// settle calls until there is an answer. The taps are those of the first attempt.
func (d *stage) settle(ctx context.Context, p *payment, c *caller, t taps) error {
	for {
		l, err := d.server.await(ctx)
		if err != nil {
			return err
		}
		req, err := p.request(ctx, l.url, d.token)
		if err != nil {
			return err
		}
		c.requests++
		r, err := exchange(ctx, req, t)
		t = taps{}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s had no final answer: %w", p.id, ctx.Err())
		case errors.Is(err, errCut) && r.status == http.StatusOK:
			c.held = r.body
			c.lost++
		case err != nil:
			c.lost++
		default:
			done, doubt := r.final()
			if doubt {
				c.doubted = true
				return nil
			}
			if done {
				c.final = &r
				return nil
			}
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// final says whether an answer is the last word, or that there is a doubt.
// Another server may have got the address of one that is dead: it knows no such
// token, and answers 401.
func (r *reply) final() (done, doubt bool) {
	switch r.status {
	case http.StatusUnauthorized, http.StatusTooManyRequests:
		return false, false
	case http.StatusConflict:
		var p struct {
			Code string `json:"code"`
		}
		_ = json.Unmarshal(r.body, &p) // without a code it is not what we look for
		return p.Code != "in_flight" && p.Code != "in_doubt", p.Code == "in_doubt"
	}
	return r.status < 500, false
}

// receipt is the provider's, if that is what the client was answered.
func (r *reply) receipt() (c Charge) {
	if r.status == http.StatusOK {
		_ = json.NewDecoder(bytes.NewReader(r.body)).Decode(&c) // of another answer it stays empty, which is noticed
	}
	return c
}

// sleep says whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
