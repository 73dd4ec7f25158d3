package semeltest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// careful programs pass everything, whatever their policy.
var careful = map[string]semeltest.Workload{
	"keyed": shopWith(recognizingBank, semel.Keyed),
	"ask":   shopWith(forgetfulBank, semel.Ask),
	"probe": func(r *semeltest.Run) {
		bank := forgetfulBank(r)
		NewShop(r.App, semeltest.Effect(bank, receipt), semel.Probe(semeltest.Probe[int64, Receipt](bank))).buy(r)
	},
	"probe that closes the key": func(r *semeltest.Run) {
		bank := forgetfulBank(r)
		NewShop(r.App, semeltest.Effect(bank, receipt), semel.Probe(semeltest.Probe[int64, Receipt](bank)), semel.ProbeCloses).buy(r)
	},
	"read-only": func(r *semeltest.Run) {
		rates := r.World.Service("rates", semeltest.ChangesNothing)
		NewShop(r.App, semeltest.Effect(rates, receipt), semel.ReadOnly).buy(r)
	},
	// A lost call may be lost for ever, and with it the order's money.
	"at most once": func(r *semeltest.Run) {
		bank := forgetfulBank(r)
		shop := NewShop(r.App, semeltest.Effect(bank, receipt), semel.AtMostOnce)
		r.Call(shop.Place.Request("o-1", 500, semel.Key("k1")))
		r.Call(shop.Place.Request("o-2", 700, semel.Key("k2")))
		r.Check(func(context.Context) error { return bank.AtMostOnce() })
	},
	// What a lost call may have led to is left out, by whichever way it is heard of.
	"at most once, heard of from afar": func(r *semeltest.Run) {
		mail := r.World.Service("mail")
		orders, relays := semel.NewAgent[Order](r.App, "order"), semel.NewAgent[Books](r.App, "relay")
		book := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
		pass := semel.On(relays, "pass", func(_ *Books, s *semel.Step, n int64) (bool, error) {
			book.Send(s, "far", n, semel.Delay(time.Second))
			return true, nil
		})
		tell := semel.NewEffect(r.App, "tell", semeltest.Effect(mail, func(n int64) (int64, error) { return n, nil }), semel.AtMostOnce)
		told := semel.Then(orders, "told", func(o *Order, s *semel.Step, n int64, res semel.Result[int64]) (bool, error) {
			if res.Done() {
				pass.Send(s, "r", n)
				o.Cents += n
			}
			return true, nil // so nobody is told if the answer is lost
		})
		place := semel.On(orders, "place", func(_ *Order, s *semel.Step, n int64) (bool, error) {
			tell.Ask(s, n, told.With(n))
			return semel.Defer[bool]()
		})
		r.Call(place.Request("o-1", 500, semel.Key("k1")))
		r.Call(book.Request("other", 5, semel.Key("k3")))
		r.Do(func(ctx context.Context) error { // asks for what depends on what it reads
			o, _, err := orders.Get(ctx, "o-1")
			if err == nil {
				_, err = book.Call(ctx, "near", o.Cents, semel.Key(fmt.Sprint("k2-", o.Cents)))
			}
			return err
		})
	},
	"refused by the bank": func(r *semeltest.Run) {
		broke := func(cents int64) (Receipt, error) { return Receipt{}, semel.Reject("card_declined", "no") }
		shop := NewShop(r.App, semeltest.Effect(forgetfulBank(r), broke), semel.Ask)
		r.Call(shop.Place.Request("o-1", 500, semel.Key("k1")))
	},
	"over a bad line":     shopWith(badLine, semel.Keyed),
	"over HTTP":           overHTTP,
	"timers and times":    reminders,
	"what may run again":  idempotent,
	"a source and a hold": source,
}

// slow programs have something to do long after the last call.
var slow = map[string]time.Duration{"timers and times": 6 * time.Minute, "a source and a hold": 3 * time.Minute}

// badLine is a bank whose first calls go wrong in each way that there is.
func badLine(r *semeltest.Run) *semeltest.Service {
	bank := recognizingBank(r)
	faults := []semeltest.Fault{semeltest.Refuse, semeltest.LoseCall, semeltest.TimeOut, semeltest.LoseReply}
	bank.Faults(func(rec semeltest.Record) semeltest.Fault {
		if rec.Calls <= len(faults) {
			return faults[rec.Calls-1]
		}
		return semeltest.NoFault
	})
	return bank
}

// overHTTP charges as programs do in production: by an http.Client.
func overHTTP(r *semeltest.Run) {
	bank := recognizingBank(r)
	provider := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var cents int64
		_ = json.NewDecoder(req.Body).Decode(&cents)
		if cents == 700 {
			http.Error(w, "no", http.StatusPaymentRequired)
			return
		}
		_ = json.NewEncoder(w).Encode(Receipt{fmt.Sprintf("r-%d", cents)})
	})
	client := &http.Client{Transport: bank.Transport(provider)}
	shop := NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (out Receipt, err error) {
		body, _ := json.Marshal(cents)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://bank.example/charges", bytes.NewReader(body))
		req.Header.Set(semeltest.KeyHeader, call.Key)
		resp, err := client.Do(req)
		if err != nil {
			return out, err
		}
		defer resp.Body.Close()
		switch b, err := io.ReadAll(resp.Body); {
		case err != nil:
			return out, err
		case resp.StatusCode == http.StatusPaymentRequired:
			return out, semel.Reject("card_declined", "%s", b)
		case resp.StatusCode != http.StatusOK:
			return out, errors.New(resp.Status)
		default:
			return out, json.Unmarshal(b, &out)
		}
	}, semel.Keyed)
	r.Call(shop.Place.Request("o-1", 500, semel.Key("k1")))
	r.Call(shop.Place.Request("o-2", 700, semel.Key("k2")))
	r.Check(func(context.Context) error {
		if n := bank.Count(); n != 1 {
			return fmt.Errorf("the bank charged %d times", n)
		}
		return bank.ExactlyOnce()
	})
}

// Diary is a state with times and identities in it.
type Diary struct {
	At    time.Time
	Unix  int64
	Rung  int
	Notes map[string]Note
}

type Note struct {
	ID semel.ID
	At time.Time
}

// reminders sets timers, and keeps the time.
func reminders(r *semeltest.Run) {
	diaries := semel.NewAgent[Diary](r.App, "diary")
	ring := semel.On(diaries, "ring", func(d *Diary, _ *semel.Step, _ string) (bool, error) {
		d.Rung++
		return true, nil
	})
	remind := semel.On(diaries, "remind", func(d *Diary, s *semel.Step, what string) (time.Time, error) {
		d.At, d.Unix = s.Now(), s.Now().UnixNano()
		if d.Notes == nil {
			d.Notes = make(map[string]Note)
		}
		d.Notes[what] = Note{s.NewID(), s.Now().Add(5 * time.Minute)}
		ring.After(s, what, 5*time.Minute, what)
		ring.Send(s, "other", what, semel.Delay(time.Minute))
		return s.Now(), nil
	})
	r.Call(remind.Request("mine", "tea", semel.Key("k1")))
	r.Call(remind.Request("mine", "milk", semel.Key("k2")))
	r.Check(func(ctx context.Context) error {
		for _, id := range []string{"mine", "other"} {
			if d, _, err := diaries.Get(ctx, id); err != nil || d.Rung != 2 {
				return fmt.Errorf("%s rang %d times, %w", id, d.Rung, err)
			}
		}
		return nil
	})
}

// idempotent has actions that may run again, or be lost, and bear it.
func idempotent(r *semeltest.Run) {
	type Set struct{ Has map[string]bool }
	sets := semel.NewAgent[Set](r.App, "set")
	add := func(s *Set, _ *semel.Step, what string) (bool, error) {
		if s.Has == nil {
			s.Has = make(map[string]bool)
		}
		s.Has[what] = true
		return true, nil
	}
	again := semel.On(sets, "again", add, semel.AtLeastOnce)
	lossy := semel.On(sets, "lossy", add, semel.AtMostOnce)
	r.Call(again.Request("s", "a"))
	r.Call(lossy.Request("s", "b", semel.Key("k1"), semel.Tenant("other")))
	r.Call(again.Request("s", "c"))
	r.Do(func(ctx context.Context) error {
		_, _, err := sets.Get(ctx, "s")
		return err
	})
	r.Call(again.Request("s", "d"))
}

// source consumes a numbered source, and holds its agent meanwhile.
func source(r *semeltest.Run) {
	books := semel.NewAgent[Books](r.App, "books")
	book := semel.On(books, "book", (*Books).Book)
	hold := semel.On(books, "hold", func(_ *Books, s *semel.Step, d time.Duration) (bool, error) {
		s.Hold("audit", d)
		return true, nil
	})
	r.Call(hold.Request("all", 2*time.Minute, semel.Key("k1")))
	for i := range uint64(3) {
		r.Call(book.Request("all", 5, semel.From("topic/0", "1", i+1)))
	}
	r.Call(book.Request("all", 100, semel.Key("k2"), semel.Token("audit")))
	r.Call(book.Request("all", 1000, semel.Key("k3"))) // waits until the hold ends
}

// ranSome is what each function says of what it did, if it did something, and
// each crash came where it was to.
var ranSome = map[string]string{
	"EveryCrash": `^semeltest: ran [1-9]\d* of the \d+ crashes at \d+ points, and [1-9]\d* second crashes; 0 came to an end before their point`,
	"Duplicate":  `^semeltest: ran [1-9]\d* cases with duplicates`,
	"Reorder":    `^semeltest: ran [1-9]\d* orders`,
}

func TestCareful(t *testing.T) {
	t.Parallel()
	for name, w := range careful {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []semeltest.Option{semeltest.Volatile("Unix")}
			if settle := slow[name]; settle != 0 {
				opts = append(opts, semeltest.Settle(settle), semeltest.Limit(10))
			}
			if testing.Short() {
				opts = append(opts, semeltest.Limit(8))
			}
			for function, find := range finders {
				r := record(t)
				find(r, w, opts...)
				if len(r.errors) > 0 {
					t.Errorf("%s finds fault with it:\n%s", function, strings.Join(r.errors, "\n"))
				}
				said := strings.Join(r.logs, "\n")
				if !regexp.MustCompile(ranSome[function]).MatchString(said) {
					t.Errorf("%s ran nothing, or not what it was to: it said %q", function, said)
				}
			}
		})
	}
}
