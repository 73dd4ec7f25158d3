package server

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// Small bodies need no room; large ones share it, wait for it, and are refused
// when nobody gives any back; what one had is there again when it is complete.
func TestRoomForBodies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const maxBody = 64 << 10
		r := newRoom(maxBody)
		body := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
		read := func(n int) error {
			b, err := r.read(t.Context(), bytes.NewReader(body(n)))
			if err == nil && !bytes.Equal(b, body(n)) {
				t.Errorf("of %d bytes came %d", n, len(b))
			}
			return err
		}
		for _, n := range []int{0, 1, 511, 512, 513, smallBody - 1, smallBody, smallBody + 1, smallBody + 32<<10, smallBody + 32<<10 + 1, 100_000, largeBodies * maxBody} {
			if err := read(n); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		began := time.Now()
		stalled := make(chan error, 100)
		var ends []*io.PipeWriter
		for range largeBodies * maxBody / (32 << 10) {
			in, out := io.Pipe()
			ends = append(ends, out)
			go func() { _, _ = out.Write(body(smallBody + 100)) }()
			go func() { _, err := r.read(t.Context(), in); stalled <- err }()
		}
		synctest.Wait()
		if err := read(smallBody - 1); err != nil || time.Since(began) != 0 {
			t.Errorf("a small body: %v after %v", err, time.Since(began))
		}
		if err := read(2 * 32 << 10); !errors.Is(err, errNoRoom) || time.Since(began) != roomPatience {
			t.Errorf("a large body: %v after %v", err, time.Since(began))
		}
		waiting := make(chan error, 1)
		go func() { waiting <- read(2 * 32 << 10) }()
		synctest.Wait()
		cut := errors.New("cut off")
		for i, end := range ends[:4] {
			if i%2 == 0 {
				_ = end.Close()
			} else {
				_ = end.CloseWithError(cut)
			}
		}
		if err := <-waiting; err != nil || time.Since(began) != roomPatience {
			t.Errorf("a large body, when others are complete: %v after %v", err, time.Since(began))
		}
		for _, end := range ends[4:] {
			_ = end.Close()
		}
		failed := 0
		for range ends {
			if err := <-stalled; errors.Is(err, cut) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 2 || !r.TryAcquire(largeBodies*maxBody+int64(len(chunk{}))) {
			t.Errorf("%d failed, and the room is not whole again", failed)
		}
	})
}
