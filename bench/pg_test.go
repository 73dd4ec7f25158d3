package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
)

func smallPostgres(t *testing.T, s *pgtest.Server) Postgres {
	t.Helper()
	return Postgres{
		DSN: s.Database(t), Round: 30 * time.Millisecond, Rounds: 1, Agents: 400, Batch: Load{Callers: 4, Group: 64},
		Progress: func(s string) { t.Log(s) },
	}
}

// nothingLeft checks that a run dropped what it made.
func nothingLeft(t *testing.T, p Postgres) {
	t.Helper()
	if n := pgtest.Value(t, p.DSN, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'semel_bench%'"); n != "0" {
		t.Errorf("%s schemas are left behind", n)
	}
}

// A short round of everything: each row has figures, the goals are judged by
// what is printed, and nothing is left behind.
func TestPostgres(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	p := smallPostgres(t, pgtest.Start(t, pgtest.Set("max_connections", strconv.Itoa(maxConnections))))
	sheet, err := p.Compare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, p)
	var goals []string
	for _, r := range sheet.Rows {
		if r.Result.Ops == 0 || r.Result.PerSec == 0 || r.Baseline != nil && (r.Baseline.Ops == 0 || r.Ratio == 0) {
			t.Errorf("%s: a row without figures: %+v", r.Name, r)
		}
		if r.Met == nil {
			continue
		}
		least, err := strconv.ParseFloat(strings.Fields(r.Goal)[1], 64)
		if err != nil || *r.Met != (r.Ratio >= least) {
			t.Errorf("%s: ratio %v, goal %q, met: %v", r.Name, r.Ratio, r.Goal, *r.Met)
		}
		goals = append(goals, r.Goal)
	}
	if !slices.Equal(goals, []string{"≥ 0.7 ×", "≥ 3.0 ×"}) {
		t.Errorf("the goals are %q", goals)
	}
	if want := 3 + 3*2 + 2 + 2*3; len(sheet.Rows) != want {
		t.Errorf("%d rows, not %d", len(sheet.Rows), want)
	}
	written(t, sheet, "one node, 4 callers, batches of 64", "fsync on")
}

// written checks that what is found is in the text, the JSON and the page.
func written(t *testing.T, sheet *Sheet, want ...string) {
	t.Helper()
	var text, page, doc bytes.Buffer
	for _, err := range []error{sheet.WriteText(&text), sheet.WriteHTML(&page), sheet.WriteJSON(&doc)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range want {
		if !strings.Contains(text.String(), w) {
			t.Errorf("the text is without %q:\n%s", w, text.String())
		}
	}
	for _, g := range sheet.Tables() {
		for _, row := range g.Cells {
			if len(row) != len(g.Head) {
				t.Errorf("a row of %d cells under a head of %d: %q", len(row), len(g.Head), row)
			}
			if !strings.Contains(page.String(), row[0]) {
				t.Errorf("the page is without %q", row[0])
			}
		}
	}
	var back Sheet
	if err := json.Unmarshal(doc.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Title != sheet.Title || len(back.Rows) != len(sheet.Rows) || len(back.Grids) != len(sheet.Grids) {
		t.Errorf("the JSON says %+v", back)
	}
}

// What is written by hand does what it is measured for: as many keys as
// operations, and in the states what all of them added up to.
func TestByHand(t *testing.T) {
	t.Parallel()
	const agents = 40
	dsn := pgtest.Shared(t).Database(t)
	pgtest.Exec(t, dsn, "CREATE SCHEMA hand")
	h, err := newByHand(t.Context(), dsn, "hand", agents, 4, rowSizes{outcome: 60, state: 110})
	if err != nil {
		t.Fatal(err)
	}
	defer h.pool.Close()
	l := Load{Callers: 4, Group: 1, For: 100 * time.Millisecond, Agents: agents}
	each, err := h.each(l)
	if err != nil {
		t.Fatal(err)
	}
	count := func() string { return pgtest.Value(t, dsn, "SELECT count(*) FROM hand.dedup") }
	if got := count(); got != strconv.Itoa(each.Ops) {
		t.Errorf("%d operations recorded %s keys", each.Ops, got)
	}
	sum := pgtest.Value(t, dsn, "SELECT sum((convert_from(value, 'UTF8')::json->>'cents')::int) FROM hand.state")
	said := pgtest.Value(t, dsn, "SELECT count(*) FROM hand.dedup WHERE octet_length(value) = 60")
	if cents, err := strconv.Atoi(sum); err != nil || cents < each.Ops || said != count() {
		t.Errorf("%d operations of a cent or more: the states have %s; %s outcomes are as large as the engine's", each.Ops, sum, said)
	}
	l.Group = 30
	units, err := h.units(l)
	if err != nil {
		t.Fatal(err)
	}
	if got := count(); got != strconv.Itoa(each.Ops+units.Ops) {
		t.Errorf("%d and %d operations recorded %s keys", each.Ops, units.Ops, got)
	}
	if n := pgtest.Value(t, dsn, "SELECT count(*) FROM hand.state"); n != strconv.Itoa(agents) {
		t.Errorf("there are %s states of %d agents", n, agents)
	}
}

// The log is filled, looked into and dropped: keys checks itself that it finds
// what it recorded, all of it, and that a generation that was dropped is gone.
func TestPostgresKeys(t *testing.T) {
	t.Parallel()
	p := smallPostgres(t, pgtest.Shared(t))
	const keys = 16 * 32 * generations
	sheet, err := p.Keys(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, p)
	room := sheet.Grids[0]
	for gen := range generations {
		if want := []string{"semel_dedup_" + strconv.Itoa(gen+1), thousands(keys / generations)}; !slices.Equal(room.Cells[gen][:2], want) {
			t.Errorf("generation %d: %q, not %q", gen+1, room.Cells[gen], want)
		}
	}
	written(t, sheet, "A lookup by the store", "semel_shard", "of them HOT")
}
