package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// markName is the file that says what a directory is. It is replaced, never
// changed, so it is always whole:
//
//	[format 1][state 1][incarnation 16][shards 4]
//	[epoch 8][sequence 8]                          for each shard
//	[CRC-32C 4]
//
// The versions are a watermark: they were durable when the file was written.
// A store that recovers less has lost data which it acknowledged. Pebble by
// itself cannot tell a log that was cut short from one that never went on.
const (
	markName     = "SEMEL"
	markTempName = "SEMEL.tmp"
	markFormat   = 1
	markFixed    = 1 + 1 + 16 + 4
)

// markState is what a directory is.
type markState byte

const (
	stateCreating  markState = 1 + iota // a store whose making did not end: nothing is in it
	stateRunning                        // a store that a process holds, or held when it died
	stateClosed                         // a store that was closed in order
	stateBackup                         // a backup, to be restored elsewhere
	stateRestoring                      // a restore that did not end
	stateEnd
)

type mark struct {
	state       markState
	incarnation message.Incarnation
	versions    []message.Version // by shard
}

func (m mark) encode() []byte {
	b := make([]byte, 0, markFixed+16*len(m.versions)+sealSize)
	b = append(b, markFormat, byte(m.state))
	b = append(b, m.incarnation[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.versions)))
	for _, v := range m.versions {
		b = binary.BigEndian.AppendUint64(b, uint64(v.Epoch))
		b = binary.BigEndian.AppendUint64(b, uint64(v.Seq))
	}
	return seal([]byte(markName), b)
}

func parseMark(what string, b []byte) (mark, error) {
	value, err := unseal(what, []byte(markName), b, markFormat, len(b)-sealSize)
	if err != nil {
		return mark{}, err
	}
	if len(value) < markFixed {
		return mark{}, fmt.Errorf("%w: %s has %d bytes, too few to be whole", store.ErrCorrupt, what, len(b))
	}
	m := mark{state: markState(value[1]), incarnation: message.Incarnation(value[2:18])}
	n := binary.BigEndian.Uint32(value[18:])
	if m.state == 0 || m.state >= stateEnd || n > 1<<16 || len(value) != markFixed+16*int(n) {
		return mark{}, fmt.Errorf("%w: %s has state %d, %d shards and %d bytes, which do not go together", store.ErrCorrupt, what, m.state, n, len(b))
	}
	for at := markFixed; at < len(value); at += 16 {
		m.versions = append(m.versions, message.Version{
			Epoch: message.Epoch(binary.BigEndian.Uint64(value[at:])),
			Seq:   message.Seq(binary.BigEndian.Uint64(value[at+8:])),
		})
	}
	return m, nil
}

// readMark reads a directory's mark; found is false when there is none.
func readMark(fsys vfs.FS, dir string) (m mark, found bool, err error) {
	path := fsys.PathJoin(dir, markName)
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, err
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return mark{}, false, fmt.Errorf("read %s: %w", path, err)
	}
	m, err = parseMark(path, b)
	return m, err == nil, err
}

// writeMark replaces a directory's mark, all or nothing: the new one is whole
// and synced before its name takes the old one's place, and the directory is
// synced before anything relies on it.
func writeMark(fsys vfs.FS, dir string, m mark) error {
	temp, path := fsys.PathJoin(dir, markTempName), fsys.PathJoin(dir, markName)
	f, err := fsys.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = f.Write(m.encode()); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	if err := fsys.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// missing says what of the marked versions a recovery did not bring back.
func (m mark) missing(recovered []message.Version) error {
	var lost []error
	for i, want := range m.versions {
		got := recovered[i]
		if got.Seq >= want.Seq && got.Epoch >= want.Epoch {
			continue
		}
		lost = append(lost, fmt.Errorf("shard %d recovered unit %d of epoch %d, and unit %d of epoch %d was durable: %d units are missing",
			i, got.Seq, got.Epoch, want.Seq, want.Epoch, uint64(max(want.Seq, got.Seq)-got.Seq)))
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%w: data that was synced is gone: %w; the device or someone dropped it, so restore a backup",
		store.ErrCorrupt, errors.Join(lost...))
}
