package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A folded row says up to which unit of a shard the unit rows are folded and
// gone; there is none as long as all of them are there:
//
//	[format 1][sequence 8][fold 8][CRC-32C 4]
//
// Folds are numbered. The tables of a fold come into the LSM by its manifest
// alone, together with one that has the ingest row, whose sequence is 0 and
// whose fold is theirs. So a manifest that lost its end, which Pebble does not
// notice, is noticed here: it has not got all the folds that the log tells of.
//
// With them comes for each shard in the fold a reach row, of the same form: the
// last unit of which this or an earlier fold has put rows into the LSM. The log
// was synced with that unit before. So a log that lost it, which Pebble does
// not notice either, is noticed here, before rows of units that are gone are
// taken for those of units that are there. Stores that are older than reach
// rows have none until their next fold.
const (
	foldedFormat = 1
	foldedSize   = 1 + 8 + 8
)

func encodeFolded(key []byte, seq message.Seq, fold uint64) []byte {
	b := append(make([]byte, 0, foldedSize+sealSize), foldedFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	return seal(key, binary.BigEndian.AppendUint64(b, fold))
}

// readFolded reads a folded row or the ingest row; zeros if there is none.
func readFolded(db *pebble.DB, what string, key []byte) (seq message.Seq, fold uint64, err error) {
	row, err := readRow(db, key)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", what, err)
	}
	if row == nil {
		return 0, 0, nil
	}
	return parseFolded(what, key, row)
}

func parseFolded(what string, key, row []byte) (seq message.Seq, fold uint64, err error) {
	value, err := unseal(what, key, row, foldedFormat, foldedSize)
	if err != nil {
		return 0, 0, err
	}
	return message.Seq(binary.BigEndian.Uint64(value[1:])), binary.BigEndian.Uint64(value[9:]), nil
}

// replay reads the unit rows back into the shards' memories. Between a shard's
// folded row and its version there must be every one of them, and no other.
//
// It folds as it goes: while a backup keeps the unit rows, any number of them
// gathers, of which each fold had its part in memory, and so has each here. A
// fold of older units over what is in the LSM of newer ones is harmless, since
// those are read back over it, then or after the next crash.
func (st *Store) replay() (err error) {
	if _, st.folds.number, err = readFolded(st.db, "the ingest row", ingestKey); err != nil {
		return err
	}
	for i := range st.shards {
		sh := &st.shards[i]
		seq, fold, err := readFolded(st.db, fmt.Sprintf("the folded row of shard %d", i), foldedKey(message.Shard(i)))
		if err != nil {
			return err
		}
		if fold > st.folds.number {
			return fmt.Errorf("%w: the folded row of shard %d is of fold %d, and the manifest has folds up to %d: its end is lost; restore a backup", store.ErrCorrupt, i, fold, st.folds.number)
		}
		if sh.reached, _, err = readFolded(st.db, fmt.Sprintf("the reach row of shard %d", i), reachKey(message.Shard(i))); err != nil {
			return err
		}
		if at := sh.version.Seq; sh.reached > at {
			return fmt.Errorf("%w: data that was synced is gone: shard %d recovered unit %d, and the tables have rows up to unit %d: %d units are missing; the device or someone dropped them, so restore a backup",
				store.ErrCorrupt, i, at, sh.reached, sh.reached-at)
		}
		sh.folded = seq
		sh.forgotten = sh.folded
		if sh.folded > sh.version.Seq {
			return fmt.Errorf("%w: the folded row of shard %d says unit %d, and the version row unit %d", store.ErrCorrupt, i, sh.folded, sh.version.Seq)
		}
	}
	at := make([]message.Seq, len(st.shards))
	for i := range at {
		at[i] = st.shards[i].folded
	}
	next := []byte{tableStore, unitMark}
	for {
		if next, err = st.replayFrom(next, at); err != nil {
			return err
		}
		if next == nil {
			break
		}
		// With no iterator open, whose Close might wait for a mutex that a
		// device's failure holds for ever, see deviceFS.
		if err := st.failed.attempt(st.folds.fold); err != nil {
			return err
		}
	}
	for i, seq := range at {
		if want := st.shards[i].version.Seq; seq != want {
			return fmt.Errorf("%w: the row of unit %d of shard %d is missing: the shard is at unit %d; restore a backup", store.ErrCorrupt, seq+1, i, want)
		}
	}
	return nil
}

// replayFrom reads the unit rows from a key on: up to a fold's worth in memory,
// when it returns the key to go on from, or all, when it returns nil.
func (st *Store) replayFrom(key []byte, at []message.Seq) (next []byte, err error) {
	it, err := st.db.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: []byte{tableStore, unitMark + 1}})
	if err != nil {
		return nil, corruption(err)
	}
	defer func() { err = errors.Join(err, corruption(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		if st.folds.full.Load() >= st.folds.limit {
			return append(next, it.Key()...), nil
		}
		if err := st.replayUnit(it, at); err != nil {
			return nil, err
		}
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("the rows of units: %w", corruption(err))
	}
	return nil, nil
}

// replayUnit reads one unit row; at is the last unit of each shard so far.
func (st *Store) replayUnit(it *pebble.Iterator, at []message.Seq) error {
	shard, seq, ok := parseUnitKey(it.Key())
	if !ok || int(shard) >= len(st.shards) {
		return fmt.Errorf("%w: there is a row %x where only rows of units are", store.ErrCorrupt, it.Key())
	}
	sh := &st.shards[shard]
	if seq > sh.version.Seq || seq <= sh.folded {
		return fmt.Errorf("%w: there is a row of unit %d of shard %d, which is at unit %d and folded up to %d", store.ErrCorrupt, seq, shard, sh.version.Seq, sh.folded)
	}
	if seq != at[shard]+1 {
		return fmt.Errorf("%w: the row of unit %d of shard %d is missing; the next one is of unit %d; restore a backup", store.ErrCorrupt, at[shard]+1, shard, seq)
	}
	at[shard] = seq
	row, err := it.ValueAndErr()
	if err != nil {
		return fmt.Errorf("the row of unit %d of shard %d: %w", seq, shard, corruption(err))
	}
	entries, err := parseUnit(shard, seq, row)
	if err != nil {
		return err
	}
	st.folds.grew(sh.memory.add(entries, seq))
	return nil
}
