package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// room bounds the bytes of bodies that are on their way in (FAULTS 63). A
// client that sends a large body and holds back its end keeps what it sent in
// our memory until the read timeout; a thousand of them must not fill it. What
// a body takes beyond smallBody comes out of a common room while it arrives, and
// is given back when it is complete. So small bodies, which most calls have,
// are never held up, however many large ones stall; and when there is no room,
// a large one waits a little, and is then refused as the server is overloaded.
type room struct{ *semaphore.Weighted }

const (
	// smallBody is what each body may take of its own.
	smallBody = 4 << 10
	// largeBodies is how many bodies of the largest size there is room for:
	// the size of the largest batch.
	largeBodies = 16
	// roomPatience is how long a body waits for others to be complete.
	roomPatience = 2 * time.Second
)

// chunk is a part of a large body. It is used again, so that bodies which end
// nowhere leave no work to the garbage collector.
type chunk [32 << 10]byte

var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

func newRoom(maxBody int64) room {
	return room{semaphore.NewWeighted(largeBodies*maxBody + int64(len(chunk{})))}
}

// errNoRoom: other bodies that arrive at the moment have taken all the room.
var errNoRoom = errors.New("too many large bodies are arriving at once; nothing of this one was looked at, send it again")

// read reads a body. Its errors are errNoRoom and the body's own, which bounds
// it.
func (r room) read(ctx context.Context, body io.Reader) ([]byte, error) {
	b := make([]byte, 0, 512)
	for len(b) < smallBody {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		}
	}
	return r.readLarge(ctx, b, body)
}

// readLarge reads the rest of a body into chunks, and joins them when it is
// complete.
func (r room) readLarge(ctx context.Context, begun []byte, body io.Reader) ([]byte, error) {
	var chunks []*chunk
	defer func() {
		for _, c := range chunks {
			chunkPool.Put(c)
		}
		r.Release(int64(len(chunks) * len(chunk{})))
	}()
	for {
		if !r.take(ctx, int64(len(chunk{}))) {
			return nil, errNoRoom
		}
		c := chunkPool.Get().(*chunk)
		chunks = append(chunks, c)
		n, err := fill(body, c[:])
		switch {
		case err == io.EOF:
			whole := make([]byte, 0, len(begun)+(len(chunks)-1)*len(c)+n)
			whole = append(whole, begun...)
			for _, full := range chunks[:len(chunks)-1] {
				whole = append(whole, full[:]...)
			}
			return append(whole, c[:n]...), nil
		case err != nil:
			return nil, err
		}
	}
}

// fill reads until b is full or the body ends: io.ReadFull would give a body
// that was cut off and one that ended the same error.
func fill(body io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = body.Read(b[n:])
		n += m
	}
	return n, err
}

func (r room) take(ctx context.Context, n int64) bool {
	if r.TryAcquire(n) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, roomPatience)
	defer cancel()
	return r.Acquire(ctx, n) == nil
}
