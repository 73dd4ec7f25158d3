package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/store"
)

// diagnose says of an error with which Pebble did not open the database of a
// store what it means for the operator, where Pebble does not: what is damaged
// or missing, and what was written by a newer program.
func (st *Store) diagnose(err error) error {
	if st.failed.broken() != nil || errors.Is(err, store.ErrCorrupt) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, pebble.ErrDBDoesNotExist) {
		return fmt.Errorf("%w: a file is missing: %w; restore a backup", store.ErrCorrupt, err)
	}
	fsys := st.opt.fs()
	names, listErr := fsys.List(st.dir)
	if listErr != nil {
		return err // it is what there is to say
	}
	options := "" // the newest; numbers have leading zeros
	formats := false
	for _, name := range names {
		if version, ok := strings.CutPrefix(name, "marker.format-version."); ok {
			formats = true
			// marker.format-version.<how many there were>.<version>
			_, version, _ = strings.Cut(version, ".")
			if v, e := strconv.ParseUint(version, 10, 64); e == nil && pebble.FormatMajorVersion(v) > pebble.FormatNewest {
				return fmt.Errorf("the database has formats of version %d, and this program knows formats up to %d: it was written by a newer version; run that one (%w)", v, pebble.FormatNewest, err)
			}
		}
		if strings.HasPrefix(name, "OPTIONS-") {
			options = max(options, name)
		}
	}
	if !formats {
		return fmt.Errorf("%w: the file marker.format-version is missing: %w; restore a backup", store.ErrCorrupt, err)
	}
	if options == "" {
		return err
	}
	text, e := readAll(fsys, fsys.PathJoin(st.dir, options))
	if e != nil {
		return errors.Join(err, e) // that it cannot be read does not say that it is damaged
	}
	// It has no checksum, but little in it matters, and that never changes.
	if e = st.tuning.CheckCompatibility(st.dir, string(text)); e != nil {
		return fmt.Errorf("%w: the file %s is not what was written: %w; restore a backup", store.ErrCorrupt, options, e)
	}
	return err
}

func readAll(fsys vfs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}
