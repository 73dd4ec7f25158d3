package semeltest_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// careless is a program with a bug, and what the kit must say about it.
type careless struct {
	w    semeltest.Workload
	find finder
	says string
}

// finder is one of the kit's three functions.
type finder = func(semeltest.TB, semeltest.Workload, ...semeltest.Option)

var finders = map[string]finder{
	"EveryCrash": semeltest.EveryCrash, "Duplicate": semeltest.Duplicate, "Reorder": semeltest.Reorder,
}

// mistakes are the rows of the table in docs/guides/testing.md that says what
// is found, with the careless programs that are such.
var mistakes = map[string][]string{
	"`Keyed` or `ReadOnly`, said of a provider that does it again": {
		"keyed, of a provider that does not deduplicate", "a call that changes something is said to be read-only",
	},
	"a random key, one for all, or one for two requests":                           {"a random key", "one key for all effects", "one key for two requests"},
	"a key of the time, or none":                                                   {"a key made of the time", "no key"},
	"a timeout taken for *not done*":                                               {"a timeout is taken for a call that was not done"},
	"a probe that takes an error for *not done*":                                   {"a probe that takes an error for no", "a probe over HTTP that takes an error for no"},
	"a probe that never finds anything":                                            {"a probe that never finds anything"},
	"a probe that finds what is not there":                                         {"a probe that finds what is not there"},
	"I/O in a step, if it reaches the World":                                       {"I/O within a step"},
	"memory outside of the state, in a variable of the workload's":                 {"memory outside of the state", "memory outside of the state that only a reply shows", "memory outside of the state that only a dead letter shows"},
	"a step that depends on the order of a map, or on randomness":                  {"effects in the order of a map"},
	"a new key for a retry, of an `r.Call`":                                        {"a key that is made anew"},
	"a new key for a retry, within an `r.Do`":                                      {"a key that is made anew, within a Do"},
	"`AtLeastOnce`, of an action that must not run twice":                          {"at least once, of what cannot bear it"},
	"the last one wins, of calls or of answers":                                    {"the last one wins", "the last of two effects wins"},
	"a failure that needs no fault: an error taken for success, a failing handler": {"an error is taken for success", "a handler that fails"},
}

// Careless programs that are wrong about the outside world.
var carelessEffects = map[string]careless{
	"keyed, of a provider that does not deduplicate": {
		shopWith(forgetfulBank, semel.Keyed), semeltest.EveryCrash,
		`crash \d+ of \d+: after effect "charge" of order/o-1 happened, before its result was recorded, during place of order/o-1 \(key k1\)
    effect "charge" of order/o-1 at service "bank" happened 2 times, and without a crash it happened once \(policy keyed, with the key [0-9a-f]{32}\)`,
	},
	"the same, when an answer gets lost": {
		shopWith(forgetfulBank, semel.Keyed), semeltest.Duplicate,
		`duplicates, case 1 of 20\n    effect "charge" of order/o-1 at service "bank" happened 2 times`,
	},
	"a call that changes something is said to be read-only": {
		shopWith(forgetfulBank, semel.ReadOnly), semeltest.EveryCrash, `happened 2 times, and without a crash it happened once \(policy read_only`,
	},
	"a random key": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, _ semel.EffectCall, cents int64) (Receipt, error) {
				return semeltest.Call(ctx, bank, rand.Text(), cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `it does not do the same twice.*\n    effect "charge" of order/o-1 at service "bank" was called with the key .*send EffectCall.Key`,
	},
	"a key made of the time": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				key := fmt.Sprint(call.Agent.ID, "-", time.Now().UnixNano())
				return semeltest.Call(ctx, bank, key, cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `effect "charge" of order/o-1 at service "bank" was called with the keys o-1-\d+ and o-1-\d+: send EffectCall.Key`,
	},
	"a timeout is taken for a call that was not done": {
		func(r *semeltest.Run) {
			bank := forgetfulBank(r)
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				out, err := semeltest.Call(ctx, bank, call.Key, cents, func() (Receipt, error) { return receipt(cents) })
				if err != nil {
					err = semel.NotDone(err)
				}
				return out, err
			}, semel.Ask).buy(r)
		}, semeltest.Duplicate, `happened 2 times, and without duplicates it happened once \(policy ask`,
	},
	"a probe that never finds anything": {
		func(r *semeltest.Run) {
			probe := func(context.Context, semel.EffectCall, int64) (Receipt, error) { return Receipt{}, semel.NotDone(nil) }
			NewShop(r.App, semeltest.Effect(forgetfulBank(r), receipt), semel.Probe(probe)).buy(r)
		}, semeltest.EveryCrash, `happened 2 times, and without a crash it happened once \(policy probe`,
	},
	"a probe that finds what is not there": {
		func(r *semeltest.Run) {
			probe := func(_ context.Context, _ semel.EffectCall, cents int64) (Receipt, error) { return receipt(cents) }
			NewShop(r.App, semeltest.Effect(forgetfulBank(r), receipt), semel.Probe(probe)).buy(r)
		}, semeltest.EveryCrash, `before effect "charge" of order/o-1 reached the outside world.*\n.*did not happen, and without a crash it happened once \(policy probe`,
	},
	"an error is taken for success": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			bank.Faults(func(rec semeltest.Record) semeltest.Fault {
				if rec.Calls == 1 && rec.Agent.ID == "o-2" {
					return semeltest.LoseCall
				}
				return semeltest.NoFault
			})
			shop := NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				out, _ := semeltest.Call(ctx, bank, call.Key, cents, func() (Receipt, error) { return receipt(cents) })
				return out, nil
			}, semel.Keyed)
			shop.buy(r)
			r.Check(func(context.Context) error { return bank.ExactlyOnce() })
		}, semeltest.EveryCrash, `nothing was done to the program, and yet: effect "charge" of order/o-2 at service "bank" did not happen`,
	},
	"one key for all effects": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, _ semel.EffectCall, cents int64) (Receipt, error) {
				return semeltest.Call(ctx, bank, "charge", cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `effect "charge" of order/o-2 at service "bank" came with the key charge, by which the service knows another effect: it was not done`,
	},
	"one key for two requests": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				if _, err := semeltest.Call(ctx, bank, call.Key, "authorize", func() (Receipt, error) { return receipt(0) }); err != nil {
					return Receipt{}, err
				}
				return semeltest.Call(ctx, bank, call.Key, "capture", func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `came with the key .* for another request: it was "authorize", and now "capture"`,
	},
	"no key": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, _ semel.EffectCall, cents int64) (Receipt, error) {
				return semeltest.Call(ctx, bank, "", cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `happened 2 times, and without a crash it happened once \(policy keyed, without a key\)`,
	},
	"a probe that takes an error for no": {
		func(r *semeltest.Run) {
			bank := forgetfulBank(r)
			probe := func(ctx context.Context, call semel.EffectCall, _ int64) (Receipt, error) {
				out, err := semeltest.Find[Receipt](ctx, bank, call.Key)
				if err != nil {
					err = semel.NotDone(err)
				}
				return out, err
			}
			NewShop(r.App, semeltest.Effect(bank, receipt), semel.Probe(probe)).buy(r)
		}, semeltest.Duplicate, `happened 2 times, and without duplicates it happened once \(policy probe`,
	},
	"a probe over HTTP that takes an error for no": {
		probeOverHTTP, semeltest.Duplicate, `happened 2 times, and without duplicates it happened once \(policy probe`,
	},
	"the last of two effects wins": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			read := semel.NewEffect(r.App, "read", semeltest.Effect(bank, func(n int64) (int64, error) { return n, nil }), semel.Keyed)
			agent := semel.NewAgent[Books](r.App, "books")
			heard := semel.Then(agent, "heard", func(b *Books, _ *semel.Step, n int64, _ semel.Result[int64]) (bool, error) {
				b.Sum = n
				return true, nil
			})
			act := semel.On(agent, "ask", func(_ *Books, s *semel.Step, _ bool) (bool, error) {
				read.Ask(s, 5, heard.With(5))
				read.Ask(s, 7, heard.With(7))
				return true, nil
			})
			r.Call(act.Request("all", true, semel.Key("k1")))
		}, semeltest.Reorder, `order \d+ of 20 \(calls 1\)\n    the state of books/all is {"Sum":[57]}, and in the order of the workload {"Sum":[57]}`,
	},
	// The answer of o-1's mail is lost in each run, and the books have nothing to
	// do with it.
	"a mistake beside a call whose answer is lost": {
		func(r *semeltest.Run) {
			mail := r.World.Service("mail")
			mail.Faults(func(semeltest.Record) semeltest.Fault { return semeltest.LoseReply })
			tell := semel.NewEffect(r.App, "tell", semeltest.Effect(mail, func(string) (bool, error) { return true, nil }), semel.AtMostOnce)
			hello := semel.On(semel.NewAgent[Order](r.App, "order"), "hello", func(_ *Order, s *semel.Step, who string) (bool, error) {
				tell.Run(s, who)
				return true, nil
			})
			r.Call(hello.Request("o-1", "ann", semel.Key("k0")))
			forgetful(r)
		}, semeltest.EveryCrash, `the state of books/all is {"Sum":7}, and without a crash {"Sum":12}`,
	},
	"a mistake beside a call that happens at most once": {
		func(r *semeltest.Run) {
			tell := semel.NewEffect(r.App, "tell", semeltest.Effect(r.World.Service("mail"), func(int64) (bool, error) { return true, nil }), semel.AtMostOnce)
			sum := int64(0)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(b *Books, s *semel.Step, cents int64) (bool, error) {
				if sum += cents; cents == 5 {
					tell.Run(s, cents)
				}
				b.Sum = sum
				return true, nil
			})
			r.Call(act.Request("all", 5, semel.Key("k1")))
			r.Call(act.Request("all", 7, semel.Key("k2")))
		}, semeltest.EveryCrash, `the state of books/all is {"Sum":7}, and without a crash {"Sum":12}`,
	},
	"a doubt that nobody can settle": {
		func(r *semeltest.Run) {
			lost := func(context.Context, semel.EffectCall, int64) (Receipt, error) {
				return Receipt{}, errors.New("a broken line")
			}
			NewShop(r.App, lost, semel.Ask).buy(r)
		}, semeltest.EveryCrash, `effect "charge" of .*order/o-1 is in doubt \(a broken line\), and the World cannot say`,
	},
}

// Careless programs whose steps are not pure, or whose calls have no identity.
var carelessSteps = map[string]careless{
	"I/O within a step": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "pay", func(b *Books, s *semel.Step, cents int64) (int64, error) {
				_, err := semeltest.Call(context.Background(), bank, s.Key(), cents, func() (Receipt, error) { return receipt(cents) })
				b.Sum += cents
				return b.Sum, err
			})
			r.Call(act.Request("all", 5, semel.Key("k1")))
		}, semeltest.EveryCrash, `service "bank" was called \(5\) from outside of any effect.*: a step must not reach outside`,
	},
	"effects in the order of a map": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			mail := semel.NewEffect(r.App, "mail", semeltest.Effect(bank, func(string) (bool, error) { return true, nil }), semel.Keyed)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "tell", func(_ *Books, s *semel.Step, all map[string]bool) (bool, error) {
				for who := range all {
					mail.Run(s, who)
				}
				return true, nil
			})
			everybody := make(map[string]bool)
			for i := range 20 {
				everybody[fmt.Sprint("reader", i)] = true
			}
			r.Call(act.Request("all", everybody, semel.Key("k1")))
		}, semeltest.EveryCrash, `it does not do the same twice.*the order of a map.*\n    effect "mail" of books/all .* was called with "reader\d+", and in another run with "reader\d+"`,
	},
	"memory outside of the state that only a reply shows": {
		func(r *semeltest.Run) {
			sum := int64(0)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(_ *Books, _ *semel.Step, cents int64) (int64, error) {
				sum += cents
				return sum, nil
			})
			r.Call(act.Request("all", 5, semel.Key("k1")))
			r.Call(act.Request("all", 7, semel.Key("k2")))
		}, semeltest.EveryCrash, `call 2, book of books/all \(key k2\), was answered done 7, and without a crash done 12`,
	},
	"memory outside of the state that only a dead letter shows": {
		func(r *semeltest.Run) {
			open := false
			books := semel.NewAgent[Books](r.App, "books")
			enter := semel.On(books, "enter", func(*Books, *semel.Step, bool) (bool, error) {
				if !open {
					return false, errors.New("closed")
				}
				return true, nil
			})
			begin := semel.On(books, "begin", func(*Books, *semel.Step, bool) (bool, error) { open = true; return true, nil })
			send := semel.On(books, "send", func(_ *Books, s *semel.Step, _ bool) (bool, error) {
				enter.Send(s, "all", true)
				return true, nil
			})
			r.Call(begin.Request("all", true, semel.Key("k1")))
			r.Then()
			r.Call(send.Request("all", true, semel.Key("k2")))
		}, semeltest.EveryCrash, `enter of books/all is 1 times among the dead letters, and without a crash 0 times`,
	},
	"an agent of a tenant that only a Do calls": {
		func(r *semeltest.Run) {
			sum := int64(0)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(b *Books, _ *semel.Step, cents int64) (bool, error) {
				sum += cents
				b.Sum = sum
				return true, nil
			})
			for i := range int64(2) {
				r.Do(func(ctx context.Context) error {
					_, err := act.Call(ctx, "all", 5+2*i, semel.Key(fmt.Sprint(i)), semel.Tenant("other"))
					return err
				})
			}
		}, semeltest.EveryCrash, `the state of other:books/all is {"Sum":7}, and without a crash {"Sum":12}`,
	},
	"memory outside of the state": {
		forgetful, semeltest.EveryCrash, `the state of .*books/all is {"Sum":7}, and without a crash {"Sum":12}`,
	},
	"a key that is made anew": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
			r.Call(act.Request("all", 5, semel.Key(rand.Text())))
		}, semeltest.EveryCrash, `call 1 was book of books/all \(key .*\), and when the workload was asked again`,
	},
	"a key that is made anew, within a Do": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
			r.Do(func(ctx context.Context) error {
				_, err := act.Call(ctx, "all", 5, semel.Key(rand.Text()))
				return err
			})
		}, semeltest.EveryCrash, `crash \d+ of \d+: after a commit was durable, before anybody was told, during a Do\n    the state of .*books/all is {"Sum":10}, and without a crash {"Sum":5}`,
	},
	"at least once, of what cannot bear it": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book, semel.AtLeastOnce)
			r.Call(act.Request("all", 5))
		}, semeltest.Duplicate, `the state of .*books/all is {"Sum":1[05]}, and without duplicates {"Sum":5}`,
	},
	"the last one wins": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "set", func(b *Books, _ *semel.Step, cents int64) (bool, error) {
				b.Sum = cents
				return true, nil
			})
			for i := range int64(3) {
				r.Call(act.Request("all", i, semel.Key(fmt.Sprint(i))))
			}
		}, semeltest.Reorder, `order \d+ of 20 \(calls [123], [123], [123]\)\n    the state of .*books/all is {"Sum":[01]}, and in the order of the workload {"Sum":2}`,
	},
	"a handler that fails": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(*Books, *semel.Step, int64) (bool, error) { return false, errors.New("oh") })
			r.Call(act.Request("all", 5, semel.Key("k")))
		}, semeltest.EveryCrash, `nothing was done to the program, and yet: call 1, book of books/all \(key k\): .*handler_failed`,
	},
}

// forgetful keeps in a variable what belongs into the state.
func forgetful(r *semeltest.Run) {
	sum := int64(0)
	act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(b *Books, _ *semel.Step, cents int64) (int64, error) {
		sum += cents
		b.Sum = sum
		return sum, nil
	})
	r.Call(act.Request("all", 5, semel.Key("k1")))
	r.Call(act.Request("all", 7, semel.Key("k2")))
}

// probeOverHTTP asks whether the bank did it, and hears no whatever it answers.
func probeOverHTTP(r *semeltest.Run) {
	bank := forgetfulBank(r)
	client := &http.Client{Transport: bank.Transport(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet && bank.Happened(req.URL.Query().Get("key")) == 0 {
			http.NotFound(w, req)
			return
		}
		_, _ = io.WriteString(w, `{"ID":"r"}`)
	}))}
	send := func(ctx context.Context, method, key string) (out Receipt, err error) {
		req, _ := http.NewRequestWithContext(ctx, method, "https://bank.example/charges?key="+key, nil)
		req.Header.Set(semeltest.KeyHeader, key)
		resp, err := client.Do(req)
		if err != nil {
			return out, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return out, errors.New(resp.Status)
		}
		return out, json.NewDecoder(resp.Body).Decode(&out)
	}
	call := func(ctx context.Context, call semel.EffectCall, _ int64) (Receipt, error) {
		return send(ctx, http.MethodPost, call.Key)
	}
	probe := func(ctx context.Context, call semel.EffectCall, _ int64) (Receipt, error) {
		out, err := send(ctx, http.MethodGet, call.Key)
		if err != nil {
			err = semel.NotDone(err)
		}
		return out, err
	}
	NewShop(r.App, call, semel.Probe(probe)).buy(r)
}

// The kit finds the bug of every careless program, and says what it is.
func TestCareless(t *testing.T) {
	t.Parallel()
	for _, programs := range []map[string]careless{carelessEffects, carelessSteps} {
		for name, c := range programs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := record(t)
				c.find(r, c.w)
				r.fails(c.says)
			})
		}
	}
}

// Each mistake is found by the functions that the guide names for it, and by no
// other.
func TestTheGuideSaysWhatIsFound(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/guides/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| mistake | seen by |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) != len(mistakes) {
		t.Errorf("the guide has %d mistakes, and there are %d", len(rows), len(mistakes))
	}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		names := mistakes[cells[0]]
		if len(cells) != 2 || len(names) == 0 {
			t.Errorf("no careless program is for the row %q", row)
			continue
		}
		for _, name := range names {
			c, ok := carelessEffects[name]
			if !ok {
				c = carelessSteps[name]
			}
			for function, find := range finders {
				t.Run(name+"/"+function, func(t *testing.T) {
					t.Parallel()
					r := record(t)
					find(r, c.w)
					if says := cells[1] == "all" || strings.Contains(cells[1], "`"+function+"`"); says != (len(r.errors) > 0) {
						t.Errorf("the guide says that it is seen by %s, and here the kit said %q", cells[1], r.errors)
					}
				})
			}
		}
	}
}

// What bears one crash and not two is found by a second one.
func TestSecondCrashes(t *testing.T) {
	t.Parallel()
	type Program struct {
		Starts int
		Worn   bool
	}
	w := func(r *semeltest.Run) {
		start := semel.On(semel.NewAgent[Program](r.App, "program"), "start", func(p *Program, _ *semel.Step, _ bool) (bool, error) {
			p.Starts++
			p.Worn = p.Starts > 2
			return true, nil
		})
		r.Do(func(ctx context.Context) error {
			_, err := start.Call(ctx, "p", true, semel.Key(rand.Text()))
			return err
		})
		book := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
		for i := range int64(3) {
			r.Call(book.Request("all", i, semel.Key(fmt.Sprint(i))))
		}
	}
	r := record(t)
	semeltest.EveryCrash(r, w, semeltest.Volatile("Starts"))
	r.fails(`^crash \d+ of \d+: .*; and then, in the life after it: .*\n    the state of program/p is {.*"Worn":true}`)
}
