package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
)

// generations remembers which tables of the dedup log there are. It may be
// wrong when another node has dropped one; the statement then says so.
type generations struct {
	mu   sync.Mutex
	made map[message.Generation]bool
}

const dedupName = "semel_dedup_"

// ensureGenerations makes the tables that are not there, as far as is known.
// Whoever comes first to a new generation makes it for all.
func (st *Store) ensureGenerations(ctx context.Context, gens []message.Generation) error {
	g := &st.generations
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, gen := range gens {
		if g.made[gen] {
			continue
		}
		if err := st.makeGeneration(ctx, gen); err != nil {
			return fmt.Errorf("make the table of generation %d: %w", gen, advise(err))
		}
		if g.made == nil {
			g.made = make(map[message.Generation]bool)
		}
		g.made[gen] = true
	}
	return nil
}

func (st *Store) makeGeneration(ctx context.Context, gen message.Generation) error {
	for try := 1; ; try++ {
		err := st.exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s%d (shard integer NOT NULL, key bytea NOT NULL, value bytea, PRIMARY KEY (shard, key)) WITH ("+lateAnalyze+")",
			st.opt.Schema, dedupName, gen))
		if err == nil || try == tries || !racing(err) || !pause(ctx, try) {
			return err
		}
	}
}

// lateAnalyze keeps a table from being analyzed while it is tiny: the server would
// then choose to read all of it, and go on with that when it has grown. A table
// that was never analyzed is taken for one that has room for an index to help.
const lateAnalyze = "autovacuum_analyze_threshold = 10000"

func (st *Store) forgetGenerations(gens []message.Generation) {
	st.generations.mu.Lock()
	defer st.generations.mu.Unlock()
	for _, gen := range gens {
		delete(st.generations.made, gen)
	}
}

// listGenerations asks the database which tables there are.
func (st *Store) listGenerations(ctx context.Context) ([]message.Generation, error) {
	var gens []message.Generation
	f, err := st.run(ctx, &query{
		sql:   "SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1::text AND table_name LIKE 'semel!_dedup!_%' ESCAPE '!'",
		args:  []any{st.opt.Schema},
		begin: func() { gens = nil },
		row: func(r pgx.Rows) error {
			var name string
			if err := r.Scan(&name); err != nil {
				return err
			}
			// Another program's table of such a name is none of ours.
			if n, err := strconv.ParseUint(strings.TrimPrefix(name, dedupName), 10, 32); err == nil {
				gens = append(gens, message.Generation(n))
			}
			return nil
		},
		harmless: true,
	})
	return gens, st.harmlessError(ctx, f, err)
}

// mayHave notes where dedup rows of the shard may be: for a unit, before it is
// sent, and again when it is made, for a read may have forgotten it between.
func (s *session) mayHave(gens []message.Generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, gen := range gens {
		s.gens[gen]++
	}
}

// existing returns those of the generations in which the shard may have rows.
// The session asks the database once: a table that is made later has rows of the
// shard only if this session writes them, until the session is fenced, which
// every read finds out besides.
func (s *session) existing(ctx context.Context, gens []message.Generation) ([]message.Generation, error) {
	if len(gens) == 0 {
		return nil, nil
	}
	if err := s.askOnce(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var there []message.Generation
	for _, gen := range gens {
		if s.gens[gen] > 0 {
			there = append(there, gen)
		}
	}
	return there, nil
}

func (s *session) askOnce(ctx context.Context) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	if s.asked {
		return nil
	}
	gens, err := s.store.listGenerations(ctx)
	if err != nil {
		return err
	}
	s.mayHave(gens)
	s.asked = true
	return nil
}

// dropped forgets those of the generations whose tables are not there any more. A
// unit may make one again while the database is asked, and is then answered before
// this goes on: what was noted meanwhile is not forgotten.
func (s *session) dropped(ctx context.Context, of []message.Generation) error {
	s.mu.Lock()
	noted := make(map[message.Generation]int, len(of))
	for _, gen := range of {
		noted[gen] = s.gens[gen]
	}
	s.mu.Unlock()
	there, err := s.store.listGenerations(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, gen := range of {
		if !slices.Contains(there, gen) && s.gens[gen] == noted[gen] {
			delete(s.gens, gen)
		}
	}
	return nil
}
