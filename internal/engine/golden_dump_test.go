package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
)

// goldenRows are all rows of a store.
type goldenRows map[goldenRow]string

type goldenRow struct {
	table message.Table
	shard message.Shard
	gen   message.Generation
	key   string
}

func (r goldenRow) String() string {
	return fmt.Sprintf("%s %d/%d/%q", tableNames[r.table], r.shard, r.gen, r.key)
}

var tableNames = [message.Tables]string{
	message.TableMeta: "meta", message.TableState: "state", message.TableOpen: "open", message.TableDedup: "dedup",
	message.TableOutbox: "outbox", message.TableMailbox: "mailbox", message.TableControl: "control", message.TableEffect: "effect",
	message.TableTimer: "timer", message.TableDue: "due", message.TableDead: "dead", message.TableCursor: "cursor", message.TableChange: "change",
}

// rowKinds are the kinds of rows, where a table has several.
var rowKinds = map[message.Table][]string{
	message.TableMeta:   {"clock", "generations", "feed", "lead", "trial", "outbox end"},
	message.TableDedup:  {"outcome", "resolution"},
	message.TableEffect: {"asked", "started", "in doubt", "withdrawn"},
	message.TableState:  {"", "promised"},
}

func (r goldenRow) isResolution() bool {
	return r.table == message.TableDedup && r.key[0] == core.ResolutionKey(message.ID{})[0]
}

// kind is a row's table, and which of its kinds the row is of.
func (r goldenRow) kind(value string) string {
	kind := ""
	switch r.table {
	case message.TableMeta:
		kind = "outbox end"
		for _, name := range rowKinds[r.table] {
			if strings.HasPrefix(r.key, name) {
				kind = name
			}
		}
	case message.TableDedup:
		kind = "outcome"
		if r.isResolution() {
			kind = "resolution"
		}
	case message.TableState:
		switch tx, _, err := core.ReadPromised(message.RowKey{Table: r.table, Key: []byte(r.key)}, []byte(value)); {
		case err != nil:
			kind = err.Error()
		case tx != "":
			kind = "promised"
		}
	case message.TableEffect:
		switch e, err := core.ReadEffect(message.RowKey{Table: r.table, Key: []byte(r.key)}, []byte(value)); {
		case err != nil:
			kind = err.Error()
		case e.Withdrawn:
			kind = "withdrawn"
		case e.InDoubt:
			kind = "in doubt"
		case e.Started:
			kind = "started"
		default:
			kind = "asked"
		}
	}
	return strings.TrimSpace(tableNames[r.table] + " " + kind)
}

// generationsLooked is more than the golden directories have.
const generationsLooked = 8

// readGoldenRows opens a store and reads every row of every shard.
func readGoldenRows(fsys vfs.FS) (goldenRows, error) {
	ctx, rows := context.Background(), goldenRows{}
	s, err := pebble.At("data", goldenStore(fsys)).OpenStore(ctx)
	if err != nil {
		return nil, err
	}
	for shard := range message.Shard(2) {
		session, err := s.Open(ctx, shard, "golden")
		if err != nil {
			return nil, err
		}
		for table := message.Table(1); table < message.Tables; table++ {
			ranges := []store.Range{{Table: table}}
			for gen := message.Generation(1); table == message.TableDedup && gen < generationsLooked; gen++ {
				ranges = append(ranges, store.Range{Table: table, Gen: gen})
			}
			for _, r := range ranges {
				found, err := session.Scan(ctx, r, 1<<20)
				if err != nil {
					return nil, err
				}
				for _, row := range found {
					rows[goldenRow{table, shard, r.Gen, string(row.Key)}] = string(row.Value)
				}
			}
		}
	}
	return rows, s.Close()
}

// differ says what two stores do not have in common.
func (rows goldenRows) differ(from goldenRows) string {
	var b strings.Builder
	for key, value := range from {
		if got, ok := rows[key]; !ok {
			_, _ = fmt.Fprintf(&b, "%s is missing\n", key)
		} else if got != value {
			_, _ = fmt.Fprintf(&b, "%s is %q, and was %q\n", key, got, value)
		}
	}
	for key := range rows {
		if _, ok := from[key]; !ok {
			_, _ = fmt.Fprintf(&b, "%s was not there\n", key)
		}
	}
	return b.String()
}

// count counts the rows of each kind.
func (rows goldenRows) count() map[string]int {
	count := map[string]int{}
	for row, value := range rows {
		count[row.kind(value)]++
	}
	return count
}

// describe counts the rows of each kind.
func (rows goldenRows) describe(b *bytes.Buffer) {
	count := rows.count()
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		_, _ = fmt.Fprintf(b, "%-17s %d\n", kind, count[kind])
	}
}

// resolutions writes what people said of doubts, which nobody lists.
func (rows goldenRows) resolutions(t *testing.T, b *bytes.Buffer) {
	t.Helper()
	var lines []string
	for row, value := range rows {
		if !row.isResolution() {
			continue
		}
		r, err := core.ReadResolution(message.RowKey{Table: row.table, Gen: row.gen, Key: []byte(row.key)}, []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%x %v code=%s detail=%q body=%s by=%s of=%s at=%s seen=%d-%s conflict=%q\n",
			row.key[1:], r.Status, r.Code, r.Detail, r.Body, r.By, r.Tenant, at(r.At), r.Seen.Epoch, at(r.Seen.At), r.Conflict))
	}
	slices.Sort(lines)
	_, _ = fmt.Fprintf(b, "\n-- resolutions\n%s", strings.Join(lines, ""))
}

// dump writes everything that can be asked of an engine, in words.
func (g golden) dump(b *bytes.Buffer) {
	g.Helper()
	ctx := g.Context()
	line := func(form string, args ...any) { _, _ = fmt.Fprintf(b, form+"\n", args...) }
	var agents []string
	for a, err := range g.e.Agents(ctx, message.DefaultTenant, "diary", "") {
		if err != nil {
			g.Fatal(err)
		}
		agents = append(agents, a.Agent.ID)
	}
	slices.Sort(agents)
	line("\n-- agents")
	for _, id := range agents {
		line("%s %s", id, g.state(id))
	}
	line("\n-- outcomes: agent, key, status")
	for _, id := range append(agents, "stumbler", "victim", "hanger", "doubter", "killer") {
		for o, err := range g.e.Outcomes(ctx, goldenAgent(id), "") {
			if err != nil {
				g.Fatal(err)
			}
			x := o.Outcome
			line("%s %s %s %s %v code=%s detail=%q body=%s attempts=%d doubt=%v fingerprint=%v first=%s settled=%s",
				id, o.Principal, o.Key, x.Action, x.Status, x.Code, x.Detail, x.Body, x.Attempts, x.Doubt, x.Fingerprint, at(x.FirstSeen), at(x.Settled))
		}
	}
	line("\n-- effects")
	for e, err := range g.e.Effects(ctx, "") {
		if err != nil {
			g.Fatal(err)
		}
		line("%s of %s id=%v doubt=%v started=%v attempts=%d asked=%s begun=%s reason=%q body=%s",
			e.Name, e.Agent.ID, e.ID, e.InDoubt, e.Started, e.Attempts, at(e.AskedAt), at(e.StartedAt), e.Reason, e.Body)
	}
	line("\n-- dead letters")
	for d, err := range g.e.DeadLetters(ctx, "") {
		if err != nil {
			g.Fatal(err)
		}
		line("%s of %s key=%s attempts=%d at=%s reason=%q body=%s", d.Message.Action, d.Message.To.ID, d.Message.Key, d.Attempts, at(d.At), d.Reason, d.Message.Body)
	}
}

func at(t message.Time) string {
	if t == 0 {
		return "never"
	}
	return time.Unix(0, int64(t)).UTC().Format(time.RFC3339)
}

func (g golden) state(id string) string {
	g.Helper()
	a := g.e.Query(g.Context(), goldenAgent(id), func(s core.State, version uint64, _ bool) core.Answer {
		d := *s.(*diary)
		d.Entries = slices.Sorted(slices.Values(d.Entries)) // messages of two shards come in any order
		enc, err := d.Append(nil)
		return core.Answer{Outcome: &message.Outcome{Body: enc}, Version: version, Err: err}
	})
	if a.Fault != nil || a.Err != nil {
		g.Fatalf("read %s: %v, %v", id, a.Fault, a.Err)
	}
	return describe(a.Version, a.Outcome.Body)
}

// dumpFeed writes which agents changed after a position of the feed.
func (g golden) dumpFeed(b *bytes.Buffer, from engine.Position, changed int) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	var agents []string
	for c, err := range g.e.Changes(ctx, message.DefaultTenant, "diary", from) {
		if err != nil || c.Reset {
			g.Fatalf("the feed from %s: %+v, %v", from, c, err)
		}
		if !slices.Contains(agents, c.Agent.ID) {
			agents = append(agents, c.Agent.ID)
		}
		if len(agents) == changed {
			break
		}
	}
	slices.Sort(agents)
	_, _ = fmt.Fprintf(b, "\n-- changed since\n%s\n", strings.Join(agents, " "))
}

func copyDir(t *testing.T, from, to vfs.FS, dir string) {
	t.Helper()
	names, err := from.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := vfs.CopyAcrossFS(from, from.PathJoin(dir, name), to, to.PathJoin("data", name)); err != nil {
			t.Fatal(err)
		}
	}
}
