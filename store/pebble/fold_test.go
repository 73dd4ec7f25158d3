package pebble

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Random writes, reads, folds, drops, crashes and backups, short and long ones,
// beside a map. Folds happen by themselves too.
func TestFoldModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40 / every(8)) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			runFoldModel(t, rand.New(rand.NewPCG(seed, seed)))
		})
	}
}

type foldModel struct {
	t     *testing.T
	rng   *rand.Rand
	m     *machine
	st    *Store
	own   [2]*owner
	rows  [2]map[string]string // table, generation and key → value
	floor [2]message.Generation
	kept  bool // a backup is under way, or as good as
}

func runFoldModel(t *testing.T, rng *rand.Rand) {
	m := &foldModel{t: t, rng: rng, m: &machine{opt: testOptions(t, crashfs.New())}}
	m.m.opt.Shards, m.m.opt.foldBytes, m.m.opt.MemTableBytes = 2, 4<<10, 64<<10
	for i := range m.rows {
		m.rows[i] = map[string]string{}
	}
	m.open()
	for range 400 {
		switch n := rng.IntN(44); {
		case n < 25:
			m.commit(rng.IntN(2))
		case n < 32:
			m.scan(rng.IntN(2))
		case n < 35:
			if err := m.st.folds.fold(); err != nil {
				t.Fatal(err)
			}
		case n < 37:
			m.drop(rng.IntN(2))
		case n == 37:
			mustClose(t, m.st)
			m.open()
		case n == 38:
			m.m.opt.FS = m.m.opt.FS.(*crashfs.Disk).Crash(50*rng.IntN(3), rng.Uint64())
			_ = m.st.Close()
			m.open()
		case n < 41:
			m.keep(false)
			m.backup()
		default:
			m.keep(!m.kept)
		}
	}
	m.compare()
	mustClose(t, m.st)
}

func (m *foldModel) open() {
	m.st, m.kept = mustOpen(m.t, m.m), false
	for i := range m.own {
		m.own[i] = own(m.t, m.st, message.Shard(i))
		m.maintain(i) // a crash may have undone it
	}
	m.compare()
}

// keep has the unit rows kept from now on, or not.
func (m *foldModel) keep(on bool) {
	switch {
	case on && !m.kept:
		m.st.folds.keep.Lock()
	case !on && m.kept:
		m.st.folds.keep.Unlock()
	}
	m.kept = on
}

func (m *foldModel) key(shard int) message.RowKey {
	k := message.RowKey{Table: message.TableState, Key: fmt.Append(nil, "k", m.rng.IntN(40))}
	if m.rng.IntN(2) == 0 {
		k.Table, k.Gen = message.TableDedup, m.floor[shard]+message.Generation(m.rng.IntN(3))
	}
	return k
}

func rowName(k message.RowKey) string { return fmt.Sprintf("%d/%d/%s", k.Table, k.Gen, k.Key) }

func (m *foldModel) commit(shard int) {
	o, rows := m.own[shard], m.rows[shard]
	o.at.Seq++
	u := &message.Unit{Version: o.at}
	for range m.rng.IntN(12) {
		w := message.Write{RowKey: m.key(shard)}
		switch m.rng.IntN(12) {
		case 0, 1, 2:
			w.Op = message.Delete
			delete(rows, rowName(w.RowKey))
		case 3:
			if w.Table == message.TableState {
				w.Op = message.DeletePrefix
				for name := range rows {
					if strings.HasPrefix(name, rowName(w.RowKey)) {
						delete(rows, name)
					}
				}
				break
			}
			fallthrough
		default:
			w.Value = fmt.Append(nil, m.rng.Uint64(), strings.Repeat("x", m.rng.IntN(100)))
			rows[rowName(w.RowKey)] = string(w.Value)
		}
		u.Writes = append(u.Writes, w)
	}
	if err := o.Commit(background, u).Wait(); err != nil {
		m.t.Fatal(err)
	}
	keys := []message.RowKey{m.key(shard), m.key(shard), m.key(shard)}
	values, err := o.Get(background, keys)
	if err != nil {
		m.t.Fatal(err)
	}
	for i, k := range keys {
		if want, ok := rows[rowName(k)]; (values[i] != nil) != ok || string(values[i]) != want {
			m.t.Fatalf("%s is %q, want %q, %v", rowName(k), values[i], want, ok)
		}
	}
}

func (m *foldModel) scan(shard int) {
	k, to := m.key(shard), m.key(shard)
	m.scanRange(shard, store.Range{Table: k.Table, Gen: k.Gen, From: k.Key, To: to.Key}, 1+m.rng.IntN(20))
}

func (m *foldModel) scanRange(shard int, r store.Range, limit int) {
	m.t.Helper()
	prefix := fmt.Sprintf("%d/%d/", r.Table, r.Gen)
	var want []string
	for name := range m.rows[shard] {
		if key, ok := strings.CutPrefix(name, prefix); ok && key >= string(r.From) && (r.To == nil || key < string(r.To)) {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	want = want[:min(limit, len(want))]
	rows, err := m.own[shard].Scan(background, r, limit)
	if err != nil || len(rows) != len(want) {
		m.t.Fatalf("scan of %+v: %d rows, %v; want %d", r, len(rows), err, len(want))
	}
	for i, row := range rows {
		if string(row.Key) != want[i] || string(row.Value) != m.rows[shard][prefix+want[i]] {
			m.t.Fatalf("row %d is %q: %q, want %q", i, row.Key, row.Value, want[i])
		}
	}
}

func (m *foldModel) compare() {
	m.t.Helper()
	for shard := range m.own {
		m.scanRange(shard, store.Range{Table: message.TableState}, 1000)
		for gen := range m.floor[shard] + 4 {
			m.scanRange(shard, store.Range{Table: message.TableDedup, Gen: gen}, 1000)
		}
	}
}

func (m *foldModel) drop(shard int) {
	m.floor[shard] += message.Generation(m.rng.IntN(2))
	m.maintain(shard)
	m.compare()
}

// maintain drops what is below the floor, unless the unit rows are kept.
func (m *foldModel) maintain(shard int) {
	if err := m.st.Maintain(background, store.Retention{Shard: message.Shard(shard), Below: m.floor[shard]}); err != nil {
		m.t.Fatal(err)
	}
	dropped := m.st.upkeep.dropped[message.Shard(shard)]
	if dropped < m.floor[shard] && !m.kept {
		m.t.Fatalf("shard %d: generations below %d were dropped, not below %d", shard, dropped, m.floor[shard])
	}
	for name := range m.rows[shard] {
		var gen message.Generation
		if _, err := fmt.Sscanf(name, "4/%d/", &gen); err == nil && gen < dropped {
			delete(m.rows[shard], name)
		}
	}
}

// backup goes on with a restored copy.
func (m *foldModel) backup() {
	n := m.rng.Uint64()
	o := backupAndRestore(m.t, m.st, m.m.opt, fmt.Sprintf("backup%d", n), fmt.Sprintf("restored%d", n))
	live := m.st
	m.st = mustOpen(m.t, o)
	old := m.own
	for i := range m.own {
		m.own[i] = own(m.t, m.st, message.Shard(i))
	}
	m.compare()
	mustClose(m.t, m.st)
	m.st, m.own = live, old
}

// Readers see every row, whole and never older than before, while units are
// committed and folded. Run it with -race.
func TestReadersBesideFolds(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, vfs.NewMem())
	opt.foldBytes = 16 << 10
	st := mustOpen(t, &machine{opt: opt})
	o := own(t, st, 0)
	if err := o.submit(1).Wait(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			last := ""
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := o.Get(background, []message.RowKey{stateKey("last")})
				if err != nil || string(got[0]) < last {
					t.Errorf("%q after %q, %v", got[0], last, err)
					return
				}
				last = string(got[0])
				unit, err := strconv.Atoi(last)
				if err != nil {
					t.Error(err)
					return
				}
				gen := generationOf(message.Seq(unit))
				rows, err := o.Scan(background, store.Range{Table: message.TableDedup, Gen: gen}, 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				for i, row := range rows {
					if n := int(gen-1)*generationUnits + i + 1; string(row.Key) != fmt.Sprintf("%08d", n) {
						t.Errorf("row %d is %q", n, row.Key)
						return
					}
				}
				if len(rows) == 0 || string(rows[len(rows)-1].Key) < last {
					t.Errorf("%d rows after unit %s", len(rows), last)
					return
				}
			}
		})
	}
	for range 600 {
		if err := o.submit(300).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	mustClose(t, st) // and a fold under way has ended
	if st.shards[0].folded == 0 {
		t.Error("nothing was folded")
	}
}

const keptUnits = 60

// keptMachine is a machine that lost its power while a backup kept the unit
// rows of two shards, keptUnits of each, and says how many folds there were.
func keptMachine(t *testing.T) (m *machine, folds uint64) {
	disk := crashfs.New()
	m = &machine{opt: testOptions(t, disk)}
	m.opt.Shards, m.opt.foldBytes = crashShards, 16<<10
	st := mustOpen(t, m)
	st.folds.keep.Lock() // as a backup does
	for n := range message.Shard(crashShards) {
		o := own(t, st, n)
		for range keptUnits {
			if err := o.submit(3 << 10).Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.opt.FS = disk.Crash(0, 1)
	folds = foldNumber(st)
	st.folds.keep.Unlock()
	mustClose(t, st)
	return m, folds
}

func foldNumber(st *Store) uint64 {
	st.folds.mu.Lock()
	defer st.folds.mu.Unlock()
	return st.folds.number
}

// While a backup copies, the unit rows of any number of folds gather. A start
// after a crash then has no more of them in memory than a fold has.
func TestReplayFoldsAsItGoes(t *testing.T) {
	t.Parallel()
	m, before := keptMachine(t)
	st := mustOpen(t, m)
	// A fold has six units; half as many would do.
	if after := foldNumber(st); after < before+crashShards*keptUnits/12 {
		t.Errorf("replay did folds %d to %d, for %d units", before, after, crashShards*keptUnits)
	}
	if full := st.folds.full.Load(); full >= m.opt.foldBytes+(4<<10) {
		t.Errorf("replay left %d bytes in memory, and a fold begins at %d", full, m.opt.foldBytes)
	}
	for n := range message.Shard(crashShards) {
		if err := verify(own(t, st, n), keptUnits); err != nil {
			t.Errorf("shard %d: %v", n, err)
		}
	}
	mustClose(t, st)
}

// FAULTS 6: the machine loses its power before every operation of that replay.
// What it folded already does not overtake what it had not come to.
func TestCrashWhileReplayFolds(t *testing.T) {
	t.Parallel()
	m, _ := keptMachine(t)
	opt := m.opt
	disk := m.opt.FS.(*crashfs.Disk)
	checked := 0
	m.opt.FS = disk.Before(func(n int64, op errorfs.Op) {
		if t.Failed() || n%int64(every(10)) != 0 {
			return
		}
		checked++
		if err := recovered(disk.Crash(int(n%3)*50, uint64(n)), reached{{acked: keptUnits}, {acked: keptUnits}}, opt); err != nil {
			t.Errorf("a crash before operation %d (%v %s): %v", n, op.Kind, op.Path, err)
		}
	})
	mustClose(t, mustOpen(t, m))
	t.Logf("checked %d crashes", checked)
}

// A fold's tables come in by the manifest alone, though the log's memtable has
// a tombstone that they overlap: a row of the shard between theirs was dropped.
func TestFoldOverTombstone(t *testing.T) {
	t.Parallel()
	disk := crashfs.New()
	m := &machine{opt: testOptions(t, disk)}
	m.opt.Shards = 3
	st := mustOpen(t, m)
	owners := []*owner{own(t, st, 0), own(t, st, 1), own(t, st, 2)}
	work := func(owners ...*owner) {
		t.Helper()
		for _, o := range owners {
			if err := o.submit(10).Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	work(owners...)
	if err := st.folds.fold(); err != nil {
		t.Fatal(err)
	}
	if err := st.Maintain(background, store.Retention{Shard: 1, Below: 2}); err != nil {
		t.Fatal(err)
	}
	work(owners[0], owners[2])
	if err := st.folds.fold(); err != nil {
		t.Fatal(err)
	}
	after := disk.Crash(0, 1)
	if err := st.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := st.db.Metrics().Flush.AsIngestCount; n != 0 {
		t.Errorf("%d folds came in by the log", n)
	}
	opt := m.opt
	opt.FS = after
	for _, o := range []store.Opener{At("data", opt), backupAndRestore(t, st, m.opt, "backup", "restored")} {
		again := mustOpen(t, o)
		for _, n := range []message.Shard{0, 2} {
			if err := verify(own(t, again, n), 2); err != nil {
				t.Errorf("shard %d: %v", n, err)
			}
		}
		mustClose(t, again)
	}
	mustClose(t, st)
}

// Commits that wait for a fold hear of the device's failure.
func TestHeldBackCommitsHearOfFailure(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, vfs.NewMem())
	opt.foldBytes = 4 << 10
	opt.Fatal = func(error) {}
	st := mustOpen(t, &machine{opt: opt})
	o := own(t, st, 0)
	st.folds.mu.Lock() // the fold does not get on
	done := make(chan error, 1)
	go func() {
		for {
			if err := o.submit(1000).Wait(); err != nil {
				done <- err
				return
			}
			if st.folds.full.Load() >= 2*opt.foldBytes {
				_ = st.failed.fail(errors.New("the disk is gone"))
			}
		}
	}()
	if err := <-done; !errors.Is(err, store.ErrBroken) {
		t.Errorf("%v, want ErrBroken", err)
	}
	st.folds.mu.Unlock()
	if err := st.Close(); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Close: %v, want ErrBroken", err)
	}
}
