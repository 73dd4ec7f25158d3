package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// lookup is a way to ask for a key, and what it was measured to take.
type lookup struct {
	name    string
	callers int
	Result
}

// lookups asks the store for single keys as the engine does: whether the action
// is still open, and the generations in which the key can be.
func (log *keyLog) lookups() ([]lookup, error) {
	all := func(gen message.Generation) (gens []message.Generation) {
		for ; gen <= log.current; gen++ {
			gens = append(gens, gen)
		}
		return gens
	}
	var out []lookup
	for _, way := range []struct {
		name string
		ask  func() (shard message.Shard, key []byte, gens []message.Generation, there bool)
	}{
		{"a new key that carries its time", func() (message.Shard, []byte, []message.Generation, bool) {
			shard := rand.IntN(len(log.shards))
			return message.Shard(shard), keyAt(log.agentOf(shard), time.Now()), all(log.current), false //nolint:gosec // a number of shards
		}},
		{"a new key that does not", func() (message.Shard, []byte, []message.Generation, bool) {
			shard := rand.IntN(len(log.shards))
			key := message.AppendKeyIdentity(append([]byte(nil), log.agentOf(shard)...), message.Anonymous, uuid.NewString())
			return message.Shard(shard), key, all(1), false //nolint:gosec // a number of shards
		}},
		{"a recorded key that carries its time", func() (message.Shard, []byte, []message.Generation, bool) {
			k := log.recorded[rand.IntN(len(log.recorded))]
			return k.shard, k.key, all(k.gen), true
		}},
	} {
		for _, callers := range []int{1, 16} {
			log.Progress(fmt.Sprintf("lookups, %s keys in the log: %s, %s", thousands(float64(log.filled)), way.name, counted(callers, "caller")))
			l := Load{Callers: callers, Group: 1, For: log.Round, Stop: log.ctx.Done()}
			r, err := warmed(l, func(l Load) (Result, error) {
				return run(l, func(int, int) error {
					shard, key, gens, there := way.ask()
					return log.look(shard, key, gens, there)
				})
			})
			if err = errors.Join(err, log.ctx.Err()); err != nil {
				return nil, err
			}
			r.finish()
			out = append(out, lookup{way.name, callers, r})
		}
	}
	return out, nil
}

func (log *keyLog) look(shard message.Shard, key []byte, gens []message.Generation, there bool) error {
	keys := []message.RowKey{{Table: message.TableOpen, Key: key}}
	for _, gen := range gens {
		keys = append(keys, message.RowKey{Table: message.TableDedup, Gen: gen, Key: key})
	}
	values, err := log.shards[shard].Get(log.ctx, keys)
	if err != nil {
		return err
	}
	found := false
	for _, v := range values {
		found = found || v != nil
	}
	if found != there {
		return fmt.Errorf("key %q of shard %d is found: %v, and was recorded: %v", key, shard, found, there)
	}
	return nil
}

func (log *keyLog) tellLookups(few int, before []lookup, many int, after []lookup) {
	of := func(n int) string { return thousands(float64(n)) + " keys" }
	g := Grid{
		Title: "A lookup by the store, in every generation in which the key can be",
		Head:  []string{"lookup", "callers", of(few) + ": lookups/s", "p50", "p99", of(many) + ": lookups/s", "p50", "p99"},
	}
	for i := range after {
		cells := []string{after[i].name, strconv.Itoa(after[i].callers)}
		g.Cells = append(g.Cells, append(append(cells, figures(&before[i].Result)...), figures(&after[i].Result)...))
	}
	log.sheet.Grids = append(log.sheet.Grids, g)
}

// drops has all generations but the last dropped by Maintain, while units go on.
func (log *keyLog) drops() error {
	const quiet = 5 * time.Second
	log.Progress("units, while nothing is dropped")
	log.current++
	began := time.Now()
	alone, err := log.commitWhile(func() error {
		return sleepUntil(log, began.Add(quiet))
	})
	if err != nil {
		return err
	}
	g := Grid{
		Title: "Generations dropped by Maintain, while units of 128 steps go on",
		Head:  []string{"generation", "Maintain of all shards", "the last of them, with the DROP", "room given back", "units/s meanwhile", "p50", "p99", "max"},
	}
	tell := func(what, took, drop, room string, r *Result) {
		r.finish()
		cells := append([]string{what, took, drop, room}, figures(r)...)
		cells[4] = thousands(r.PerSec / unitSteps)
		g.Cells = append(g.Cells, append(cells, short(r.latency.Max())))
	}
	tell("none", "", "", "", &alone)
	var sum Result
	for gen := message.Generation(1); gen < log.current; gen++ {
		log.Progress(fmt.Sprintf("generation %d is dropped", gen))
		var took, last time.Duration
		var room int64
		meanwhile, err := log.commitWhile(func() (err error) {
			began := time.Now()
			took, last, room, err = log.drop(gen)
			return errors.Join(err, sleepUntil(log, began.Add(2*time.Second)))
		})
		if err != nil {
			return err
		}
		sum.merge(meanwhile)
		tell(fmt.Sprint(gen), short(took), short(last), mib(room), &meanwhile)
	}
	tell("all of them", "", "", "", &sum)
	log.sheet.Grids = append(log.sheet.Grids, g)
	return nil
}

// unitSteps is the size of the units that go on meanwhile: about the engine's.
const unitSteps = 128

// sleepUntil waits until a moment, or until the run is given up.
func sleepUntil(log *keyLog, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-log.ctx.Done():
		return log.ctx.Err()
	}
}

// commitWhile commits units, into a generation of now, while something is done.
func (log *keyLog) commitWhile(do func() error) (Result, error) {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- do()
		close(stop)
	}()
	gen := log.current
	r, err := run(Load{Callers: fillWorkers, Group: unitSteps, For: time.Hour, Stop: stop}, func(w, n int) error {
		_, err := log.commit((w+n*fillWorkers)%(len(log.shards)/fillWorkers*fillWorkers), gen, unitSteps, time.Now())
		return err
	})
	return r, errors.Join(err, <-done)
}

// drop has a generation forgotten by every shard. The last one drops its table.
func (log *keyLog) drop(gen message.Generation) (took, last time.Duration, room int64, err error) {
	before, err := log.sizeOf(gen)
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	for i := range log.shards {
		at := time.Now()
		if err := log.store.Maintain(log.ctx, store.Retention{Shard: message.Shard(i), Below: gen + 1}); err != nil { //nolint:gosec // a number of shards
			return 0, 0, 0, err
		}
		last = time.Since(at)
	}
	took = time.Since(began)
	after, err := log.sizeOf(gen)
	if err == nil && after != 0 {
		err = fmt.Errorf("generation %d is still there", gen)
	}
	return took, last, before, err
}

// sizeOf is how many bytes a generation takes, with its index; 0 if it is gone.
func (log *keyLog) sizeOf(gen message.Generation) (n int64, err error) {
	err = log.server.QueryRow(log.ctx, "SELECT COALESCE(pg_total_relation_size(to_regclass($1)), 0)", fmt.Sprintf("%s.semel_dedup_%d", log.schema, gen)).Scan(&n)
	return n, err
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// tellSizes tells the room of each table.
func (log *keyLog) tellSizes() error {
	g := Grid{
		Title: "Room",
		Head:  []string{"table", "rows", "table", "indexes", "bytes/row", "of them in indexes"},
	}
	var all [3]int64
	rows, err := log.server.Query(log.ctx, `SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid), c.oid::regclass::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'
		AND (c.relname LIKE 'semel!_dedup!_%' ESCAPE '!' OR c.relname IN ('semel_row', 'semel_shard')) ORDER BY c.relname`, log.schema)
	if err != nil {
		return err
	}
	type room struct {
		Name           string
		Table, Indexes int64
		Qualified      string
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[room])
	if err != nil {
		return err
	}
	line := func(name string, n, table, indexes int64) {
		per := func(b int64) string { return fmt.Sprintf("%.0f", float64(b)/float64(max(n, 1))) }
		g.Cells = append(g.Cells, []string{name, thousands(float64(n)), mib(table), mib(indexes), per(table + indexes), per(indexes)})
	}
	for _, t := range tables {
		var n int64
		if err := log.server.QueryRow(log.ctx, "SELECT count(*) FROM "+t.Qualified).Scan(&n); err != nil {
			return err
		}
		line(t.Name, n, t.Table, t.Indexes)
		if t.Name != "semel_row" && t.Name != "semel_shard" {
			all[0], all[1], all[2] = all[0]+n, all[1]+t.Table, all[2]+t.Indexes
		}
	}
	line("the log", all[0], all[1], all[2])
	log.sheet.Grids = append(log.sheet.Grids, g)
	if all[0] != int64(log.filled) {
		return fmt.Errorf("the log has %d keys and was filled with %d", all[0], log.filled)
	}
	return nil
}

// tellVacuum tells what updates left behind, and who cleaned it away.
func (log *keyLog) tellVacuum(title string) error {
	g := Grid{
		Title: title,
		Head:  []string{"table", "inserted", "updated", "of them HOT", "dead rows", "autovacuums", "autoanalyzes", "size"},
	}
	rows, err := log.server.Query(log.ctx, `SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_dead_tup, autovacuum_count, autoanalyze_count, pg_total_relation_size(relid)
		FROM pg_stat_user_tables WHERE schemaname = $1
		AND (relname LIKE 'semel!_dedup!_%' ESCAPE '!' OR relname IN ('semel_row', 'semel_shard')) ORDER BY relname`, log.schema)
	if err != nil {
		return err
	}
	type stat struct {
		Name                                               string
		Inserted, Updated, Hot, Dead, Vacuums, Analyzes, B int64
	}
	stats, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stat])
	if err != nil {
		return err
	}
	for _, s := range stats {
		hot := ""
		if s.Updated > 0 {
			hot = percent(float64(s.Hot) / float64(s.Updated))
		}
		count := func(n int64) string { return thousands(float64(n)) }
		g.Cells = append(g.Cells, []string{s.Name, count(s.Inserted), count(s.Updated), hot, count(s.Dead), count(s.Vacuums), count(s.Analyzes), mib(s.B)})
	}
	log.sheet.Grids = append(log.sheet.Grids, g)
	return nil
}
