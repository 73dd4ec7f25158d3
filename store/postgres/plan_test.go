package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
)

// explain returns how the server goes about a statement.
func explain(t *testing.T, c *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	rows, err := c.Query(background, "EXPLAIN "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// No statement goes through a shard's rows, with statistics and without: tables
// of generations have none when they need them.
func TestPlans(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 2})
	o := own(t, st, 0)
	o.dedup(t, 1)
	pgtest.Exec(t, dsn, `INSERT INTO semel.semel_row SELECT n % 2, 2, convert_to('agent/' || n, 'utf8'), 'x', n % 100 = 0 FROM generate_series(1, 100000) n;
		INSERT INTO semel.semel_dedup_1 SELECT n % 2, convert_to('agent/' || n, 'utf8'), 'x' FROM generate_series(1, 100000) n`)
	var keys []message.RowKey
	var writes []message.Write
	for i := range 512 {
		key := fmt.Appendf(nil, "agent/%d", i*100)
		keys = append(keys, message.RowKey{Table: message.TableState, Key: key}, message.RowKey{Table: message.TableDedup, Gen: 1, Key: key})
		writes = append(writes, message.Write{RowKey: keys[2*i]}, message.Write{RowKey: keys[2*i+1]})
	}
	writes = append(writes, message.Write{RowKey: state("agent/777"), Op: message.DeletePrefix}, message.Write{RowKey: state("\xff"), Op: message.DeletePrefix})
	rows, gens := sortKeys(keys)
	get := o.getStatement(rows, gens, gens.order)
	unit, unitArgs := st.sql.unitStatement(o.session, o.at, collapse(&message.Unit{Version: o.at, Writes: writes}))

	for _, statistics := range []bool{false, true} {
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			c := connect1(t, pgtest.With(dsn, "plan_cache_mode", mode))
			if statistics {
				pgtest.Exec(t, dsn, "ANALYZE")
			}
			for what, plan := range map[string]string{
				"Get":   explain(t, c, st.sql.with(get.text.String()), get.args...),
				"unit":  explain(t, c, unit, unitArgs...),
				"sweep": explain(t, c, st.sql.with(sweepSQL), []int32{0, 1}, int64(sweepRows)),
				"purge": explain(t, c, st.sql.with(consumer+purgeSQL+" SELECT 1"), o.consumerArgs(int32(0), int16(message.TableOutbox), outboxKey(1, 1), outboxKey(1, 1000))...),
			} {
				if wide(plan) {
					t.Errorf("%s goes through a table, %s, statistics %v:\n%s", what, mode, statistics, plan)
				}
			}
		}
	}
}

// wide says whether a plan reads more of a big table than the keys it is given:
// all of it, or a part that no condition on the key bounds. Marks are few.
func wide(plan string) bool {
	lines := strings.Split(plan, "\n")
	for i, line := range lines {
		_, scan, found := strings.Cut(line, "Scan ")
		big := strings.Contains(scan, "semel_row") || strings.Contains(scan, "semel_dedup")
		switch {
		case !found || !big || strings.Contains(scan, "semel_row_gone"):
		case strings.Contains(line, "Bitmap Heap Scan"): // its index scan is another line
		case strings.Contains(line, "Seq Scan"):
			return true
		default:
			if i+1 == len(lines) || !strings.Contains(lines[i+1], "Index Cond") || !strings.Contains(lines[i+1], "key") {
				return true
			}
		}
	}
	return false
}
