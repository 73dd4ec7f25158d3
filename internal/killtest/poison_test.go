package killtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/pebble"
)

// deathCode is what a process exits with when the poison took effect.
const deathCode = 42

type tally struct{ N int }

type deadLetter struct {
	ID, Agent, Action, Reason string
	Attempts                  int
}

const bystanders = 8

// runPoison is a program with an agent that counts, and an action of it that
// ends the process, as a message that takes all memory does.
func runPoison() error {
	ctx := context.Background()
	app, err := semel.Open(ctx, pebble.At(os.Getenv("DATA")), nil)
	if err != nil {
		return err
	}
	agent := semel.NewAgent[tally](app, "tally")
	add := semel.On(agent, "add", func(c *tally, _ *semel.Step, _ struct{}) (int, error) { c.N++; return c.N, nil })
	die := semel.On(agent, "die", func(*tally, *semel.Step, struct{}) (int, error) { os.Exit(deathCode); return 0, nil })
	planter := semel.NewAgent[tally](app, "planter")
	semel.On(planter, "plant", func(_ *tally, s *semel.Step, _ struct{}) (string, error) {
		for i := range bystanders {
			add.Send(s, fmt.Sprint("bystander", i), struct{}{})
		}
		add.Send(s, "victim", struct{}{})
		die.Send(s, "victim", struct{}{})
		add.Send(s, "victim", struct{}{})
		for i := range bystanders {
			add.Send(s, fmt.Sprint("bystander", i), struct{}{})
		}
		return "planted", nil
	})
	if err := app.Start(ctx); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/plant", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, replyOf(app.Do(r.Context(), semel.Request{Type: "planter", ID: "p", Action: "plant", Key: "plant"})))
	})
	mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, replyOf(app.Do(r.Context(), semel.Request{Type: "tally", ID: r.FormValue("id"), Action: "add", Key: r.FormValue("key")})))
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		state, _, err := app.State(r.Context(), semel.AgentName{Type: "tally", ID: r.FormValue("id")})
		var c tally
		if err == nil {
			err = json.Unmarshal(state, &c)
		}
		if err != nil && semel.KindOf(err) != semel.KindNotDone {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, c.N)
	})
	mux.HandleFunc("/dead", func(w http.ResponseWriter, r *http.Request) {
		dead := []deadLetter{}
		for d, err := range app.DeadLetters(r.Context()) {
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			dead = append(dead, deadLetter{d.ID.String(), d.Agent.String(), d.Action, d.Reason, d.Attempts})
		}
		writeJSON(w, dead)
	})
	mux.HandleFunc("/discard", func(w http.ResponseWriter, r *http.Request) {
		id, _ := message.ParseID(r.FormValue("id"))
		writeJSON(w, replyOf(semel.Outcome{}, app.DiscardDead(r.Context(), id)))
	})
	return listenAndSay(mux)
}

// FAULTS 54: an accepted message ends the process whenever it runs. It is
// tried alone three times after unclean starts and is a dead letter then;
// what waited behind it and around it is done, once.
func TestMessageThatKillsTheProcess(t *testing.T) {
	t.Parallel()
	data := t.TempDir() + "/data"
	p := spawn(t, "poison", "DATA="+data)
	// Its answer may be lost: the poison may be quicker.
	_ = p.get("/plant", nil, nil)

	deaths := 0
	for {
		// The process lives until the message is dead, or dies of it.
		alive := func() bool {
			if p.url == "" {
				return false // before it was ready
			}
			for {
				var planted reply
				if p.get("/plant", nil, &planted) != nil {
					return false
				}
				if planted.Status != "done" {
					t.Fatalf("plant was answered %+v", planted)
				}
				var dead []deadLetter
				if p.get("/dead", nil, &dead) != nil {
					return false
				}
				if len(dead) > 0 {
					return true
				}
			}
		}()
		if alive {
			break
		}
		if err := p.wait(); err == nil || !strings.Contains(err.Error(), fmt.Sprint("exit status ", deathCode)) {
			t.Fatalf("the process ended otherwise: %v\n%s", err, p.stderr)
		}
		if deaths++; deaths > 10 {
			t.Fatal("the message kills the process again and again")
		}
		p, _ = trySpawn(t, "poison", "DATA="+data)
	}
	// Once when it came, when nobody suspected it, and three times on trial.
	if deaths < 3 || deaths > 4 {
		t.Errorf("the process died %d times; want 3 trials, and the first time", deaths)
	}

	var dead []deadLetter
	p.must("/dead", nil, &dead)
	if len(dead) != 1 || dead[0].Action != "die" || dead[0].Agent != "tally/victim" || dead[0].Attempts != 3 || !strings.Contains(dead[0].Reason, "process ended") {
		t.Fatalf("the dead letters are %+v", dead)
	}
	count := func(id string) (n int) { p.must("/count", args("id", id), &n); return n }
	await := func(id string, want int) {
		for began := time.Now(); time.Since(began) < patience; { // suspects are tried one at a time, by all shards
			if count(id) == want {
				return
			}
		}
		t.Errorf("%s counts %d, not %d", id, count(id), want)
	}
	await("victim", 2)
	for i := range bystanders {
		await(fmt.Sprint("bystander", i), 2)
	}
	// All of them take calls, the victim too; and another unclean start holds
	// nothing against anybody.
	for life := range 2 {
		for _, id := range []string{"victim", "bystander0"} {
			var r reply
			p.must("/add", args("id", id, "key", fmt.Sprint("after", life)), &r)
			if want := fmt.Sprint(3 + life); r.Status != "done" || string(r.Reply) != want {
				t.Errorf("a call of %s was answered %+v %s; want %s", id, r, r.Reply, want)
			}
		}
		p.kill()
		p = spawn(t, "poison", "DATA="+data)
	}
	var r reply
	p.must("/discard", args("id", dead[0].ID), &r)
	p.must("/dead", nil, &dead)
	if r.Status != "done" || len(dead) != 0 {
		t.Errorf("after the discard (%+v) the dead letters are %+v", r, dead)
	}
	t.Logf("the process died %d times", deaths)
}
