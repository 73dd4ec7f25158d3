package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

// tableRows is how many payments are listed. Of more, only those are that a kill
// was meant for, and those that were in doubt or are wrong.
const tableRows = 40

// Text writes for people.
type Text struct {
	Out   io.Writer
	Color bool
	err   error
}

func (t *Text) line(form string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.Out, form+"\n", args...)
	}
}

func (t *Text) paint(color, text string) string {
	if !t.Color {
		return text
	}
	return color + text + plain
}

// Opening says who plays.
func (t *Text) Opening(o Options) error {
	t.line("A server and a payment provider run as processes of their own. %d payments, each sent by", o.Payments)
	t.line("%d clients at once with one key: debits of an account that the server keeps (debit), and charges", clients)
	t.line("by the provider under the policies ask and probe. The server is killed with SIGKILL:")
	t.line("")
	return t.err
}

// Scene tells one line of the story.
func (t *Text) Scene(s Scene) error {
	t.line("%2d  %s  %-12s  killed %s, by %s", s.Round, s.Payment, s.Way, s.Killed, s.By)
	t.line("    back in %v; %s", s.Restarted.Round(10*time.Millisecond), s.Then)
	if s.Payments > 1 {
		also := ""
		if n := s.InDoubt; n > 1 || n == 1 && !strings.HasPrefix(s.Then, "in doubt") {
			also = fmt.Sprintf("; %d in doubt in all", n)
		}
		t.line("    %s in the same round; %s broke%s", count(s.Payments-1, "other payment"), count(s.CutOff, "connection"), also)
	}
	return t.err
}

// Report tells how it ended.
func (t *Text) Report(r *Report) error {
	t.line("")
	if len(r.Doubts) == 0 {
		t.line("Nothing is in doubt.")
	} else {
		t.line("In doubt, and settled by what the provider's ledger says about the key:")
		t.line("")
		t.table(func(row func(...any)) {
			row("PAYMENT", "EFFECT", "CENTS", "KEY AT THE PROVIDER", "ITS LEDGER", "SETTLED AS")
			for _, d := range r.Doubts {
				row(d.Payment, d.Effect, d.Cents, d.Key, d.Ledger, d.Resolution)
			}
		})
	}
	t.line("")
	t.payments(r)
	t.line("")
	charges := 0
	for _, p := range r.Payments {
		if p.Way != Debit {
			charges++
		}
	}
	t.line("provider  %s asked for, %d in its ledger, %d cents", count(charges, "charge"), r.Provider.Charges, r.Provider.Cents)
	t.line("account   opened with %d, %s acknowledged: %d, balance %d", r.Account.Opened, count(r.Account.Debits, "debit"), r.Account.Debited, r.Account.Balance)
	t.line("")
	for _, v := range r.Violations {
		t.line("%s %s", t.paint(red, "VIOLATED"), v)
	}
	if r.Clean() {
		t.line("%s  %d kills, %d payments, each made once, none lost, none in doubt any more (%.1f s, --seed %d)",
			t.paint(green, "CLEAN"), r.Kills, len(r.Payments), r.Took.Seconds(), r.Seed)
	} else {
		t.line("%s  %s (%.1f s, --seed %d)", t.paint(red, "NOT CLEAN"), count(len(r.Violations), "violation"), r.Took.Seconds(), r.Seed)
	}
	return t.err
}

func (t *Text) payments(r *Report) {
	left := 0
	t.table(func(row func(...any)) {
		row("PAYMENT", "WAY", "CENTS", "AIMED KILL", "REQUESTS", "CUT OFF", "REPLAYED TO", "MADE")
		for _, p := range r.Payments {
			if len(r.Payments) > tableRows && p.Killed == NotKilled && !p.Doubted && p.once() {
				left++
				continue
			}
			killed := string(p.Killed)
			if p.Killed == NotKilled {
				killed = "-"
			}
			row(p.ID, p.Way, p.Cents, killed, p.Requests, p.CutOff, fmt.Sprintf("%d of %d", p.Replayed, r.Clients), p.made())
		}
	})
	if left > 0 {
		t.line("and %s, each made once", count(left, "more payment"))
	}
}

// once says whether there is as much of it in the ledger as there must be.
func (p *Payment) once() bool {
	return p.Way == Debit && p.Charged == 0 || p.Way != Debit && p.Charged == 1
}

func (p *Payment) made() string {
	switch {
	case p.Way == Debit && p.Charged == 0:
		return "debited"
	case p.Way != Debit && p.Charged == 1:
		return "charged once, " + p.Receipt
	}
	return fmt.Sprintf("charged %d times", p.Charged)
}

func (t *Text) table(rows func(row func(...any))) {
	if t.err != nil {
		return
	}
	w := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	})
	t.err = w.Flush()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
