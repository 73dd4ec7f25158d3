package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A specimen is a directory as a machine left it, and what is known of it. The
// tests of damage change one of its files and look what a start makes of that.
// Its units are those of unitOf.
type specimen struct {
	files  map[string][]byte  // by name
	units  [crashShards]int   // that were acknowledged
	marked [crashShards]int   // of which the file SEMEL tells
	proven [crashShards]int   // of which that or a fold tells
	ends   map[string][]ended // by log, in the order of its bytes
}

// ended says how long a log was when a unit had been acknowledged.
type ended struct {
	bytes, shard, unit int
}

// unitOf is what unit n of every shard writes: rows of the front tables and
// others, of all sizes, and two that every unit writes again.
func unitOf(n int) []message.Write {
	key := fmt.Appendf(nil, "%08d", n)
	size := n * 37 % 300
	if n%16 == 0 {
		size = 3000
	}
	return []message.Write{
		{RowKey: stateKey("unit/" + string(key)), Value: noise(n, size)},
		{RowKey: stateKey("last"), Value: key},
		{RowKey: message.RowKey{Table: message.TableDedup, Gen: 1, Key: key}, Value: noise(n, 20)},
		{RowKey: message.RowKey{Table: message.TableDead, Key: key}, Value: noise(n, n*11%90)},
		{RowKey: message.RowKey{Table: message.TableMeta, Key: []byte("last")}, Value: key},
	}
}

// noise is a value that belongs to a unit.
func noise(n, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(n*31 + i*7 + i>>8)
	}
	return b
}

// writer commits the specimen's units and waits for each.
type writer struct {
	t  *testing.T
	sp *specimen
	st *Store
	to [crashShards]*owner
}

func (sp *specimen) write(t *testing.T, st *Store) *writer {
	w := &writer{t: t, sp: sp, st: st}
	for i := range w.to {
		w.to[i] = own(t, st, message.Shard(i))
	}
	return w
}

// next commits a shard's next unit and notes how long the log is then.
func (w *writer) next(shard int) {
	w.t.Helper()
	o := w.to[shard]
	o.at.Seq++
	n := int(o.at.Seq)
	if err := o.Commit(background, &message.Unit{Version: o.at, Writes: unitOf(n)}).Wait(); err != nil {
		w.t.Fatal(err)
	}
	w.sp.units[shard] = n
	log, size := w.log()
	if w.sp.ends == nil {
		w.sp.ends = map[string][]ended{}
	}
	w.sp.ends[log] = append(w.sp.ends[log], ended{size, shard, n})
}

// log is the log that is being written, and how long it is.
func (w *writer) log() (name string, size int) {
	w.t.Helper()
	fsys := w.st.opt.FS
	names, err := fsys.List(w.st.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".log") && n > name {
			name = n
		}
	}
	info, err := fsys.Stat(fsys.PathJoin(w.st.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return name, int(info.Size())
}

// take takes the directory as it is now.
func (sp *specimen) take(t *testing.T, fsys vfs.FS) {
	t.Helper()
	names, err := fsys.List("data")
	if err != nil {
		t.Fatal(err)
	}
	sp.files = map[string][]byte{}
	for _, name := range names {
		sp.files[name] = readFile(t, fsys, "data/"+name)
	}
	m, err := parseMark("the mark", sp.files[markName])
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range m.versions {
		sp.marked[i] = int(v.Seq)
	}
}

// prove finds out what there is proof of, from the directory as it is.
func (sp *specimen) prove(t *testing.T) {
	t.Helper()
	disk, err := sp.disk("", nil)
	if err != nil {
		t.Fatal(err)
	}
	st := mustOpen(t, &machine{opt: cutOptions(t, disk)})
	for i := range sp.proven {
		sp.proven[i] = max(sp.marked[i], int(st.shards[i].reached))
	}
	mustClose(t, st)
}

// log is the log that was being written.
func (sp *specimen) log() string {
	logs := sp.named(".log")
	return logs[len(logs)-1]
}

// whole says how many units of each shard a log holds in its first bytes, with
// those of the logs before it.
func (sp *specimen) whole(log string, cut int) (units [crashShards]int) {
	for name, ends := range sp.ends {
		for _, e := range ends {
			if name < log || name == log && e.bytes <= cut {
				units[e.shard] = max(units[e.shard], e.unit)
			}
		}
	}
	return units
}

// disk has the specimen's files, but for one, which has other bytes.
func (sp *specimen) disk(changed string, data []byte) (*vfs.MemFS, error) {
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll("data", 0o755); err != nil {
		return nil, err
	}
	for name, whole := range sp.files {
		if name == changed {
			whole = data
		}
		if err := put(fsys, "data/"+name, whole); err != nil {
			return nil, err
		}
	}
	return fsys, nil
}

func put(fsys vfs.FS, path string, data []byte) error {
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// A copy: with the race detector on, the file system scribbles on what it wrote.
	_, err = f.Write(bytes.Clone(data))
	return errors.Join(err, f.Sync(), f.Close())
}

// stage is how far a start and the reading of everything came.
type stage int

const (
	refusedAtOpen stage = iota
	refusedAtRead
	opened // all was read, and it is the first units of each shard, whole
	silent // all was read, and it is something else
)

// found is what there was to be seen of a directory.
type found struct {
	stage stage
	units [crashShards]int
	err   error // why it was refused, or what is wrong
}

// look starts a store on a disk and reads everything, in every way.
func (sp *specimen) look(fsys vfs.FS, opt Options) found {
	opt.FS = fsys
	broken := make(chan error, 1)
	opt.Fatal = func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	s, err := At("data", opt).OpenStore(background)
	if err != nil {
		return found{stage: refusedAtOpen, err: err}
	}
	f := found{stage: opened}
	for i := range f.units {
		session, err := s.Open(background, message.Shard(i), "look")
		if err == nil {
			f.units[i] = int(session.Version().Seq)
			var wrong error
			if wrong, err = unitsOnly(session, f.units[i]); wrong != nil {
				f.stage, f.err = silent, fmt.Errorf("shard %d at unit %d: %w", i, f.units[i], wrong)
			}
		}
		if err != nil {
			f.stage, f.err = refusedAtRead, err
		}
		if f.stage != opened {
			break
		}
	}
	if err := s.Close(); err != nil && f.stage == opened {
		f.stage, f.err = refusedAtRead, err
	}
	select {
	case err := <-broken:
		if f.stage == opened {
			f.stage, f.err = refusedAtRead, err
		}
	default:
	}
	return f
}

// unitsOnly checks that a shard has what its first k units wrote, and nothing
// else: by scans, and row by row, which asks the filters. err is a read's error.
func unitsOnly(s store.Session, k int) (wrong, err error) {
	want := map[message.Table][]message.Row{}
	last := map[message.Table][]byte{}
	keys, values := []message.RowKey{}, [][]byte{}
	for n := 1; n <= k; n++ {
		for _, w := range unitOf(n) {
			if string(w.Key) == "last" {
				last[w.Table] = w.Value
				continue
			}
			want[w.Table] = append(want[w.Table], message.Row{Key: w.Key, Value: w.Value})
			keys, values = append(keys, w.RowKey), append(values, w.Value)
		}
	}
	got, err := s.Get(background, append(keys, message.RowKey{Table: message.TableDedup, Gen: 1, Key: fmt.Appendf(nil, "%08d", k+1)}))
	if err != nil {
		return nil, err
	}
	for i, v := range append(values, nil) {
		if (got[i] == nil) != (v == nil) || !bytes.Equal(got[i], v) {
			return fmt.Errorf("Get of row %d of %d gives %d bytes that it never had", i, len(values), len(got[i])), nil
		}
	}
	for table, value := range last {
		row := message.Row{Key: []byte("last"), Value: value}
		if table == message.TableState {
			want[table] = append([]message.Row{row}, want[table]...) // before "unit/"
		} else {
			want[table] = append(want[table], row)
		}
	}
	for table := message.Table(1); table < message.Tables; table++ {
		r := store.Range{Table: table}
		if table == message.TableDedup {
			r.Gen = 1
		}
		rows, err := s.Scan(background, r, 1<<20)
		if err != nil {
			return nil, err
		}
		if len(rows) != len(want[table]) {
			return fmt.Errorf("table %d has %d rows, and the units wrote %d", table, len(rows), len(want[table])), nil
		}
		for i, row := range want[table] {
			if !bytes.Equal(rows[i].Key, row.Key) || !bytes.Equal(rows[i].Value, row.Value) {
				return fmt.Errorf("table %d has row %q where %q was written", table, rows[i].Key, row.Key), nil
			}
		}
	}
	return nil, nil
}

// missing says how many acknowledged units are not among some.
func (sp *specimen) missing(units [crashShards]int) (n int) {
	for i := range units {
		n += max(sp.units[i]-units[i], 0)
	}
	return n
}

func atLeast(a, b [crashShards]int) bool {
	for i := range a {
		if a[i] < b[i] {
			return false
		}
	}
	return true
}
