package semeltest_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
	"github.com/semel-dev/semel/store/mem"
)

// printer stands for the *testing.T that a test has and an example has not. It
// prints what was found first; in the line before it, a test reads where.
type printer struct{ done bool }

func (*printer) Helper()             {}
func (*printer) Name() string        { return "TestMail" }
func (*printer) Logf(string, ...any) {}
func (p *printer) Errorf(form string, args ...any) {
	if !p.done {
		found := strings.Split(fmt.Sprintf(form, args...), "\n")[1]
		fmt.Println(strings.TrimSpace(strings.Split(found, " (policy")[0]))
	}
	p.done = true
}

// The mail is said to be Keyed, but the server that sends it knows nothing of
// keys: a crash after it was sent sends it again. EveryCrash finds that out.
func ExampleEveryCrash() {
	careless := func(r *semeltest.Run) {
		server := r.World.Service("mail server") // and not semeltest.Deduplicates
		send := semeltest.Effect(server, func(to string) (bool, error) { return true, nil })
		mail := semel.NewEffect(r.App, "mail", send, semel.Keyed)
		users := semel.NewAgent[struct{ Welcomed bool }](r.App, "user")
		welcome := semel.On(users, "welcome", func(u *struct{ Welcomed bool }, s *semel.Step, to string) (bool, error) {
			u.Welcomed = true
			mail.Run(s, to)
			return true, nil
		})
		r.Call(welcome.Request("ann", "ann@example.com", semel.Key("signup-1")))
	}
	t := new(printer) // in a test, its *testing.T
	semeltest.EveryCrash(t, careless)
	// Output:
	// effect "mail" of user/ann at service "mail server" happened 2 times, and without a crash it happened once
}

// A World may stand alone, beside an App that the test opens itself.
func ExampleWorld() {
	ctx := context.Background()
	world := semeltest.NewWorld()
	bank := world.Service("bank", semeltest.Deduplicates)
	bank.Faults(func(r semeltest.Record) semeltest.Fault {
		if r.Calls == 1 {
			return semeltest.LoseReply // it takes effect, and nobody hears of it
		}
		return semeltest.NoFault
	})

	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	charge := semeltest.Effect(bank, func(cents int64) (Receipt, error) { return Receipt{ID: "r-1"}, nil })
	shop := NewShop(app, charge, semel.Keyed)

	fmt.Println(shop.Place.Call(ctx, "o-1", 500, semel.Key("k1")))
	for _, r := range bank.Records() {
		fmt.Println(r.Effect, r.Bodies, "was called", r.Calls, "times, and happened", r.Happened)
	}
	fmt.Println(world.ExactlyOnce())
	// Output:
	// paid by r-1 <nil>
	// charge [500] was called 2 times, and happened 1
	// <nil>
}
