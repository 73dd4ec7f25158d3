package bench

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	semelpebble "github.com/semel-dev/semel/store/pebble"
)

// Raw measures what one would write by hand on the same storage engine with
// the same tuning: for each operation a batch of four rows (dedup mark, state,
// outbox, outcome), or Group operations in a batch, committed with a sync. It
// checks nothing and reads nothing.
func Raw(dir string, l Load) (Result, error) {
	db, err := openRaw(dir)
	if err != nil {
		return Result{}, err
	}
	defer db.Close()
	return runRaw(db, l)
}

func openRaw(dir string) (*pebble.DB, error) {
	o := semelpebble.Tuning(semelpebble.Options{Logger: slog.New(slog.DiscardHandler)})
	o.Logger = quiet{}
	return pebble.Open(dir, o)
}

// quiet keeps Pebble's messages out of the table.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Fatalf is what Pebble calls when it cannot go on.
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf("pebble: "+format, args...)) }

func runRaw(db *pebble.DB, l Load) (Result, error) {
	state := make([]byte, payload)
	return run(l, func(c, n int) error {
		b := db.NewBatch()
		defer b.Close()
		for i := range l.Group {
			agent := fmt.Sprintf("account/a%d", rand.IntN(l.Agents))
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			key := agent + "/" + id.String()
			var position [16]byte
			binary.BigEndian.PutUint64(position[:], uint64(c))
			binary.BigEndian.PutUint64(position[8:], uint64(n*l.Group+i))
			for _, row := range [][2][]byte{
				{[]byte("dedup/" + key), state[:32]},
				{[]byte("state/" + agent), state},
				{append([]byte("outbox/"), position[:]...), state},
				{[]byte("outcome/" + key), state[:40]},
			} {
				if err := b.Set(row[0], row[1], nil); err != nil {
					return err
				}
			}
		}
		return b.Commit(pebble.Sync)
	})
}
