package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/internal/child"
	"github.com/semel-dev/semel/server"
)

// MaxPayments bounds Options.Payments.
const MaxPayments = 1000

// callTimeout is that of the provider's effects.
const callTimeout = 2 * time.Second

// Options say what is played.
type Options struct {
	Binary   string // semel: it is run as the server and as the provider
	Dir      string // for data, ledger and log; it exists and is empty
	Payments int    // at least 1, at most MaxPayments
	Seed     uint64 // of the amounts, the ways and the random moments
	Broken   bool   // the provider charges its first payment twice, which the verdict must find

	Tell     func(Scene)                        // is told the story while it happens
	Progress func(done, total int, what string) // is told how far it is
}

// ProviderVerb and ProviderBroken are the arguments by which the binary becomes
// the provider: the verb, the ledger's file, and perhaps the flag.
const (
	ProviderVerb   = "demo-provider"
	ProviderBroken = "--broken"
)

// stage is a run.
type stage struct {
	opt      Options
	token    string
	provider *remoteProvider
	server   *keeper
}

// Run plays the demo. A report comes only with a nil error, and says itself
// whether the promise was kept. No process is left when it returns.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	began := time.Now()
	rounds := plan(o.Payments, o.Seed)
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute+time.Duration(len(rounds))*10*time.Second,
		errors.New("it took too long; the machine may be too busy"))
	defer cancel()
	log, err := os.Create(filepath.Join(o.Dir, "processes.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d := &stage{opt: o, token: server.NewToken()}
	args := []string{ProviderVerb, filepath.Join(o.Dir, "ledger.jsonl")}
	if o.Broken {
		args = append(args, ProviderBroken)
	}
	c, err := child.Spawn(ctx, child.Options{Log: log}, o.Binary, args...)
	if err != nil {
		return nil, fmt.Errorf("the provider: %w", withLog(err, log.Name()))
	}
	d.provider = &remoteProvider{url: c.First, ledger: args[1]}
	defer func() {
		_ = c.Stdin.Close() // it ends by that
		late := time.AfterFunc(stopTime, c.Kill)
		defer late.Stop()
		<-c.Ended
	}()
	config := filepath.Join(o.Dir, "semel.yaml")
	if err := os.WriteFile(config, d.config(), 0o600); err != nil {
		return nil, err
	}
	d.server = &keeper{binary: o.Binary, config: config, log: log, guard: d.provider.guard}
	if err := d.server.run(ctx); err != nil {
		return nil, fmt.Errorf("the server: %w", withLog(err, log.Name()))
	}
	r, err = d.play(ctx, rounds)
	err = errors.Join(err, d.server.stop())
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, withLog(err, log.Name())
	}
	r.Took = time.Since(began)
	return r, nil
}

// withLog adds the last line of the log to an error.
func withLog(err error, log string) error {
	text, reading := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; reading == nil && last != "" {
		return fmt.Errorf("%w; the last line of its log is: %s", err, last)
	}
	return err
}

// config is the server's configuration. JSON is YAML too.
func (d *stage) config() []byte {
	type m = map[string]any
	effect := func(policy string) m {
		return m{"url": d.provider.url + "/charge", "policy": policy, "timeout": callTimeout.String(), "allow_private": true}
	}
	probe := effect("probe")
	probe["probe_url"] = d.provider.url + "/charges/{key}"
	b, err := json.MarshalIndent(m{
		"data":    filepath.Join(d.opt.Dir, "data"),
		"listen":  "127.0.0.1:0",
		"log":     m{"level": "warn"},
		"effects": m{string(Ask): effect("ask"), string(Probe): probe},
		"auth": m{"principals": []m{{
			"name": "demo", "roles": []string{"call", "read", "operator"}, "tokens": []string{server.HashToken(d.token)},
		}}},
	}, "", "  ")
	if err != nil {
		panic(err) // of strings only
	}
	return b
}

// play opens the account, plays the rounds, has the doubts settled and judges.
func (d *stage) play(ctx context.Context, rounds [][]*payment) (*Report, error) {
	c, err := d.client(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Version: 1, Seed: d.opt.Seed, Clients: clients, Doubts: []Doubt{}}
	r.Account.Opened = int64(d.opt.Payments) * maxCents
	if _, err := c.Call(ctx, client.Request{Agent: account, Action: "open", Key: "open", Body: fmt.Appendf(nil, `{"cents":%d}`, r.Account.Opened)}); err != nil {
		return nil, err
	}
	var payments []*payment
	for i, round := range rounds {
		d.opt.Progress(i, len(rounds)+1, fmt.Sprintf("%s, killed %s", round[0].way, round[0].kill))
		scene, err := d.round(ctx, i+1, round)
		if err != nil {
			return nil, err
		}
		d.opt.Tell(scene)
		r.Story = append(r.Story, scene)
		payments = append(payments, round...)
	}
	d.opt.Progress(len(rounds), len(rounds)+1, "a person settles the doubts")
	doubts, err := d.person(ctx, payments)
	if err != nil {
		return nil, err
	}
	r.Doubts = append(r.Doubts, doubts...)
	return r, d.judge(ctx, r, payments)
}

// client is one of the server as it is now.
func (d *stage) client(ctx context.Context) (*client.Client, error) {
	l, err := d.server.await(ctx)
	if err != nil {
		return nil, err
	}
	return client.New(l.url, &client.Options{Token: d.token})
}
