package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// What a week's keys are spread over: as the engine's retention does, whose
// generations last an eighth of it.
const (
	week        = 7 * 24 * time.Hour
	generations = 8
)

// How the log is filled: by units of the store itself, larger than the engine
// makes them, or ten million steps would take a quarter of an hour. Their rows are
// what the engine writes: a recorded key with its outcome, and a state.
const (
	fillWorkers = 4
	fillSteps   = 512
)

// keyLog is a dedup log that is filled, looked into and dropped, through the
// store, shard by shard as the engine does it.
type keyLog struct {
	*pgRun
	schema   string
	store    store.Store
	shards   []*keyShard
	agents   [][]byte // by number: the agent's shard is its number modulo the shards
	sizes    rowSizes
	recorded []recordedKey // a sample
	filled   int
	current  message.Generation
}

// keyShard is one shard. One goroutine at a time commits to it.
type keyShard struct {
	store.Session
	at message.Version
}

type recordedKey struct {
	shard message.Shard
	gen   message.Generation
	key   []byte
}

// Keys measures what a log of many keys costs in the database: room, vacuum,
// lookups, and what it takes to drop generations while work goes on.
func (p Postgres) Keys(ctx context.Context, keys int) (*Sheet, error) {
	title := fmt.Sprintf("A week's dedup log on PostgreSQL: %s keys in %d generations", thousands(float64(keys)), generations)
	return p.run(ctx, title, func(r *pgRun) (err error) {
		log, err := r.openKeyLog()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.store.Close()) }()
		few := max(keys/100, 1)
		r.sheet.note("the log is filled through the store, by units of %d steps on %d connections; each step writes a recorded key with its outcome (%d bytes) and a state (%d bytes), of %s agents",
			fillSteps, fillWorkers, log.sizes.outcome, log.sizes.state, thousands(float64(len(log.agents))))
		if err := log.fill(few, keys); err != nil {
			return err
		}
		before, err := log.lookups()
		if err != nil {
			return err
		}
		if err := log.fill(keys, keys); err != nil {
			return err
		}
		after, err := log.lookups()
		if err != nil {
			return err
		}
		if err := errors.Join(log.tellSizes(), log.tellVacuum("Vacuum, after the fill")); err != nil {
			return err
		}
		log.tellLookups(few, before, keys, after)
		if err := log.drops(); err != nil {
			return err
		}
		return log.tellVacuum("Vacuum, at the end")
	})
}

func (r *pgRun) openKeyLog() (*keyLog, error) {
	sizes, err := r.engineSizes()
	if err != nil {
		return nil, err
	}
	log := &keyLog{pgRun: r, schema: r.schema("keys"), sizes: sizes}
	if log.store, err = r.at(log.schema).OpenStore(r.ctx); err != nil {
		return nil, err
	}
	for i := range log.store.Shards() {
		s, err := log.store.Open(r.ctx, message.Shard(i), "bench") //nolint:gosec // a number of shards
		if err != nil {
			return nil, errors.Join(err, log.store.Close())
		}
		log.shards = append(log.shards, &keyShard{s, s.Version()})
	}
	for i := range max(r.Agents, len(log.shards)) {
		log.agents = append(log.agents, handAgent(i))
	}
	return log, nil
}

// engineSizes are the sizes of the rows that the engine itself writes.
func (r *pgRun) engineSizes() (s rowSizes, err error) {
	r.Progress("what the engine's rows are like")
	schema := r.schema("node")
	one, err := openNodes(r.ctx, r.at(schema), 1, semel.Config{})
	if err != nil {
		return s, err
	}
	_, err = one.run(Load{Callers: 4, Group: 512, For: 200 * time.Millisecond, Agents: r.Agents, Stop: r.ctx.Done()})
	if err = errors.Join(err, one.close(), r.ctx.Err()); err != nil {
		return s, err
	}
	return r.rowSizes(schema)
}

// fill commits until the log has n of its keys. Generations follow each other
// over the week, and each worker has shards of its own.
func (log *keyLog) fill(n, of int) error {
	began, start, told := time.Now(), log.filled, time.Now()
	for log.filled < n {
		until := min(n, (min(log.filled*generations/of, generations-1)+1)*of/generations)   // in this generation
		each := max(min(fillWorkers*fillSteps, (until-log.filled)/len(log.shards)), 1)      // of a shard
		log.current = message.Generation(1 + min(log.filled*generations/of, generations-1)) //nolint:gosec // at most 8
		at := time.Now().Add(-week + time.Duration(float64(week)*float64(log.filled)/float64(of)))
		samples := make([][]recordedKey, fillWorkers)
		err := log.workers(func(w int) error {
			for i := w; i < len(log.shards); i += fillWorkers {
				for left := each; left > 0; left -= fillSteps {
					sample, err := log.commit(i, log.current, min(left, fillSteps), at)
					if err != nil {
						return err
					}
					samples[w] = append(samples[w], sample)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, s := range samples {
			log.recorded = append(log.recorded, s...)
		}
		log.filled += each * len(log.shards)
		if now := time.Now(); now.Sub(told) > 10*time.Second || log.filled >= n {
			told = now
			rate := float64(log.filled-start) / now.Sub(began).Seconds()
			log.Progress(fmt.Sprintf("filling the log: %s of %s keys, %s/s, %s left",
				thousands(float64(log.filled)), thousands(float64(n)), thousands(rate), span(time.Duration(float64(n-log.filled)/rate*1e9))))
		}
	}
	return log.ctx.Err()
}

func (log *keyLog) workers(work func(w int) error) error {
	errs := make(chan error, fillWorkers)
	for w := range fillWorkers {
		go func() { errs <- work(w) }()
	}
	var all []error
	for range fillWorkers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// commit makes a unit of steps and returns one of the keys that it recorded.
func (log *keyLog) commit(shard int, gen message.Generation, steps int, at time.Time) (recordedKey, error) {
	if err := log.ctx.Err(); err != nil {
		return recordedKey{}, err
	}
	sh := log.shards[shard]
	sh.at.Seq++
	u := &message.Unit{Version: sh.at}
	outcome, state := bytes.Repeat([]byte("o"), log.sizes.outcome), stateOf(log.sizes.state)
	for range steps {
		agent := log.agentOf(shard)
		u.Writes = append(u.Writes,
			message.Write{RowKey: message.RowKey{Table: message.TableDedup, Gen: gen, Key: keyAt(agent, at)}, Value: outcome},
			message.Write{RowKey: message.RowKey{Table: message.TableState, Key: agent}, Value: state})
	}
	err := sh.Commit(log.ctx, u).Wait()
	return recordedKey{message.Shard(shard), gen, u.Writes[0].Key}, err //nolint:gosec // a number of shards
}

// agentOf is one of a shard's agents.
func (log *keyLog) agentOf(shard int) []byte {
	n := len(log.shards)
	return log.agents[rand.IntN((len(log.agents)-shard-1)/n+1)*n+shard]
}

// keyAt is a key of an agent that carries a time (UUIDv7).
func keyAt(agent []byte, at time.Time) []byte {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // a byte of it
	}
	return message.AppendKeyIdentity(bytes.Clone(agent), message.Anonymous, id.String())
}
