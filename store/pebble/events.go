package pebble

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/store"
)

// logger gives Pebble's log to ours. What it does all day is of no interest
// but to someone who debugs it.
type logger struct {
	log  *slog.Logger
	fail func(error) error
}

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is how Pebble says that it failed to write its log or its manifest.
func (l logger) Fatalf(format string, args ...any) {
	// One of the arguments is the error; keep it, so that errors.Is works.
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			_ = l.fail(fmt.Errorf("pebble: %w", corruption(err)))
			return
		}
	}
	_ = l.fail(fmt.Errorf("pebble: "+format, args...))
}

// listen wires Pebble's events up. Pebble tries a failed flush again, for
// ever, while the log grows and writes stall; that too is better ended early.
func listen(log *slog.Logger, fail func(error) error) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if !errors.Is(err, pebble.ErrClosed) {
				_ = fail(fmt.Errorf("pebble, in the background: %w", corruption(err)))
			}
		},
		// The reader, or the background work, hears of it as an error.
		DataCorruption:  func(info pebble.DataCorruptionInfo) { log.Error("pebble: " + info.String()) },
		DiskSlow:        func(info pebble.DiskSlowInfo) { log.Warn("pebble: " + info.String()) },
		LowDiskSpace:    func(info pebble.LowDiskSpaceInfo) { log.Warn("pebble: " + info.String()) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) { log.Warn("pebble: " + info.String()) },
	}
}

// corruption makes Pebble's corruption errors ours.
func corruption(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return err
}
