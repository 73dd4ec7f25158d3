package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
)

// Dedup measures what a lookup costs once the log holds many keys: it fills a
// store with keys over several generations and then calls with new keys that
// carry their time, new keys that do not (every generation must be asked), and
// repeats of recorded ones.
func (p Plan) Dedup(keys int) ([]Row, error) {
	var rows []Row
	_, err := p.inDir(func(dir string) (Result, error) {
		// Eight generations make a retention; the fill spans most of them.
		fill := time.Duration(keys) * 12 * time.Microsecond
		b, err := Open(dir, p.Store, &semel.Config{Retention: max(2*fill, time.Minute)})
		if err != nil {
			return Result{}, err
		}
		defer b.Close()
		sample, err := b.fill(keys, p)
		if err != nil {
			return Result{}, err
		}
		// What was seen since the start is remembered in memory, which would
		// hide the log: a new process remembers nothing.
		if err := b.Close(); err != nil {
			return Result{}, err
		}
		if b, err = Open(dir, p.Store, &semel.Config{Retention: max(2*fill, time.Minute)}); err != nil {
			return Result{}, err
		}
		ctx := context.Background()
		for _, m := range []struct {
			name string
			key  func() (agent, key string)
		}{
			{"new keys with a time (UUIDv7)", func() (string, string) { return p.agent(), uuid.Must(uuid.NewV7()).String() }},
			{"new keys without one (UUIDv4)", func() (string, string) { return p.agent(), uuid.NewString() }},
			{"repeats of recorded keys", func() (string, string) {
				s := sample[rand.IntN(len(sample))]
				return s.agent, s.key
			}},
		} {
			for _, callers := range []int{1, 64} {
				p.Progress(fmt.Sprintf("%s, %d callers, %d keys in the log", m.name, callers, keys))
				r, err := run(Load{Callers: callers, Group: 1, For: p.Round}, func(int, int) error {
					agent, key := m.key()
					_, err := b.Exactly.Call(ctx, agent, Credit{Cents: 1, Memo: memo}, semel.Key(key))
					return err
				})
				if err != nil {
					return r, err
				}
				r.finish()
				rows = append(rows, Row{Name: fmt.Sprintf("%s, %d callers", m.name, callers), What: "p50", Result: r})
			}
		}
		return Result{}, nil
	})
	return rows, err
}

type recorded struct{ agent, key string }

// fill records keys in batches and returns a sample of them.
func (b *Bench) fill(keys int, p Plan) (sample []recorded, err error) {
	const group = 1000
	ctx := context.Background()
	for n := 0; n < keys; n += group {
		if n%(keys/10/group*group+group) == 0 {
			p.Progress(fmt.Sprintf("filling the log: %d of %d keys", n, keys))
		}
		requests := make([]semel.Request, group)
		for i := range requests {
			r := recorded{p.agent(), b.CallerKeys()}
			if i == 0 {
				sample = append(sample, r)
			}
			requests[i] = b.Exactly.Request(r.agent, Credit{Cents: 1, Memo: memo}, semel.Key(r.key))
		}
		for _, a := range b.App.CallAll(ctx, requests) {
			if a.Err != nil {
				return nil, a.Err
			}
		}
	}
	return sample, nil
}

func (p Plan) agent() string { return fmt.Sprintf("a%d", rand.IntN(p.Agents)) }
