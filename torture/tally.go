package torture

import (
	"context"
	"strconv"
	"strings"
	"sync"
)

// tally is what the parts have said. It is safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	played  map[int]int64
	said    map[string]int
	newest  int           // generation of accounts
	changed chan struct{} // has an element when something was said
}

func newTally() *tally {
	return &tally{played: make(map[int]int64), said: make(map[string]int), changed: make(chan struct{}, 1)}
}

// hear takes a line of a client.
func (t *tally) hear(client int, line string) {
	if n, ok := strings.CutPrefix(line, "played "); ok {
		if n, err := strconv.ParseInt(n, 10, 64); err == nil {
			t.mu.Lock()
			t.played[client] = n
			t.mu.Unlock()
			t.wake()
		}
		return
	}
	if n, ok := strings.CutPrefix(line, "generation "); ok {
		if n, err := strconv.Atoi(n); err == nil {
			t.mu.Lock()
			t.newest = max(t.newest, n)
			t.mu.Unlock()
		}
		return
	}
	t.say(line)
}

// generation is the last one of accounts that a client used.
func (t *tally) generation() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.newest
}

// say counts a word.
func (t *tally) say(word string) {
	t.mu.Lock()
	t.said[word]++
	t.mu.Unlock()
	t.wake()
}

func (t *tally) wake() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// total is how many operations were played.
func (t *tally) total() (n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.played {
		n += k
	}
	return n
}

// count is how often a word was said.
func (t *tally) count(word string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said[word]
}

// await returns when a word was said so often.
func (t *tally) await(ctx context.Context, word string, times int) error {
	for {
		if t.count(word) >= times {
			return nil
		}
		select {
		case <-t.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
