package killtest

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/mariadbtest"
	"github.com/semel-dev/semel/internal/pgtest"
)

// FAULTS 42, 43, 44, 46, 48: a program that coordinates transfers between agents, a
// real PostgreSQL and a real MariaDB is killed at any moment, again and again,
// and so are the databases. In the end each transfer is on all of its sides or
// on none, as its callers were told; within 30 s of healing nothing is undecided,
// in doubt or prepared; and what others have prepared there is as it was.
//
// With SEMEL_SOAK=1 it is killed a hundred times.
func TestTransfersAreKilled(t *testing.T) {
	t.Parallel()
	kills, every := 5, 4
	if os.Getenv("SEMEL_SOAK") != "" {
		kills, every = 100, 8
	}
	b := newBank(t)
	b.strangers()
	b.start()
	b.now().must("/open", nil, nil)
	for range 6 {
		b.callers.Go(b.call)
	}
	for i := range kills {
		b.progress(1 + rand.IntN(25))
		time.Sleep(rand.N(40 * time.Millisecond)) //nolint:forbidigo // a random moment is what is wanted
		switch i % every {
		case 1:
			b.pg.Kill(t)
			b.pg.Restart(t)
			b.restarted++
			b.progress(1)
		case 3:
			b.my.Kill(t)
			b.my.Restart(t)
			b.restarted++
			b.progress(1)
		}
		b.now().kill()
		b.found(b.prepared())
		if i == kills-1 {
			close(b.stop) // the last calls are never answered
		}
		b.start()
	}
	b.callers.Wait()
	b.heal()
	b.judge(kills)
}

// bank is two databases, and the program that moves money between them and its agents.
type bank struct {
	t    *testing.T
	data string
	pg   *pgtest.Server
	my   *mariadbtest.Server
	*tables

	callers sync.WaitGroup
	stop    chan struct{}

	mu       sync.Mutex
	child    *child
	changed  chan struct{} // closed when there is another child, or another answer
	calls    [][]move      // by key
	answers  map[int]string
	resolved []time.Duration // ages of prepared work that the watch of a child resolved

	restarted int             // servers that were killed
	left      int             // branches that were prepared when the program was dead
	moments   int             // deaths at which there were any
	ages      []time.Duration // of them, at that moment
	ready     time.Time       // of the last child
}

func newBank(t *testing.T) *bank {
	pg, my := pgtest.Start(t), mariadbtest.Start(t)
	b := &bank{
		t: t, data: filepath.Join(t.TempDir(), "data"), pg: pg, my: my, tables: makeTables(t, pg.Database(t), my.Database(t)),
		stop: make(chan struct{}), changed: make(chan struct{}), answers: make(map[int]string),
	}
	t.Cleanup(func() { // should the test end early
		select {
		case <-b.stop:
		default:
			close(b.stop)
		}
		b.callers.Wait()
	})
	return b
}

// start starts the program on the directory of the one before.
func (b *bank) start() {
	b.t.Helper()
	c := spawn(b.t, "transfers", "DATA="+b.data, "POSTGRES="+b.postgres, "MARIADB="+b.mariadb)
	go b.listen(c)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.child, b.ready = c, time.Now()
	b.change()
}

// listen hears what the program's watch says.
func (b *bank) listen(c *child) {
	for line := range c.lines {
		var said struct {
			Msg string        `json:"msg"`
			Age time.Duration `json:"age"`
		}
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "prepared work was resolved" {
			b.mu.Lock()
			b.resolved = append(b.resolved, said.Age)
			b.mu.Unlock()
		}
	}
}

// change wakes who waits. It is called with the mutex.
func (b *bank) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *bank) now() *child {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.child
}

// progress waits for so many more answers.
func (b *bank) progress(n int) {
	b.t.Helper()
	late := time.After(patience)
	for want := -1; ; {
		b.mu.Lock()
		have, changed := len(b.answers), b.changed
		b.mu.Unlock()
		if want < 0 {
			want = have + n
		}
		if have >= want {
			return
		}
		select {
		case <-changed:
		case <-late:
			b.t.Fatalf("no progress within %v: %d transfers were answered", patience, have)
		}
	}
}

// call makes one transfer after the other. Of those that are not answered,
// because the program was killed, it repeats every other one.
func (b *bank) call() {
	for {
		select {
		case <-b.stop:
			return
		default:
		}
		key, moves := b.invent()
		query, _ := json.Marshal(moves)
		for {
			b.mu.Lock()
			c, changed := b.child, b.changed
			b.mu.Unlock()
			var answer string
			if err := c.get("/transfer", args("moves", string(query)), &answer); err == nil {
				b.answer(key, answer)
				break
			}
			for b.now() == c && !b.stopped() {
				select {
				case <-changed:
				case <-b.stop:
				case <-time.After(50 * time.Millisecond): // it lives, and a database does not
					c = nil
				}
				b.mu.Lock()
				changed = b.changed
				b.mu.Unlock()
			}
			if b.stopped() || rand.IntN(2) == 0 {
				break
			}
		}
	}
}

func (b *bank) stopped() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// answer notes what a caller was told. A repetition is told the same.
func (b *bank) answer(key int, answer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, ok := b.answers[key]; ok && before != answer {
		b.t.Errorf("transfer %d was answered %q, and then %q", key, before, answer)
	}
	b.answers[key] = answer
	b.change()
}

// invent makes up a transfer between two sides or all three. In every sixth
// somebody is to give what he does not have.
func (b *bank) invent() (key int, moves []move) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key = len(b.calls)
	sides := []string{agentSide, postgresSide, mariadbSide}
	rand.Shuffle(len(sides), func(i, j int) { sides[i], sides[j] = sides[j], sides[i] })
	n := 2 + rand.IntN(2)
	gives := int64(n - 1)
	if rand.IntN(6) == 0 {
		gives = 1_000_000
	}
	for i, side := range sides[:n] {
		m := move{Key: strconv.Itoa(key), Side: side, Purse: rand.IntN(purses), Cents: gives / int64(n-1)}
		if i == 0 {
			m.Cents = -gives
		}
		moves = append(moves, m)
	}
	rand.Shuffle(n, func(i, j int) { moves[i], moves[j] = moves[j], moves[i] })
	b.calls = append(b.calls, moves)
	return key, moves
}

// refused says whether a transfer was to be refused.
func refused(moves []move) bool {
	return slices.ContainsFunc(moves, func(m move) bool { return m.Cents < -plenty })
}

// found notes what was prepared when the program was dead.
func (b *bank) found(ages []time.Duration) {
	if b.left += len(ages); len(ages) > 0 {
		b.moments++
	}
	b.ages = append(b.ages, ages...)
}

// heal waits until nothing is undecided, in doubt or prepared.
func (b *bank) heal() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience) // 30 s: it is what is promised
	defer cancel()
	c := b.now()
	tick := time.NewTicker(20 * time.Millisecond) // databases tell nobody when they are done
	defer tick.Stop()
	for {
		var waiting int
		c.must("/waiting", nil, &waiting)
		prepared := b.prepared()
		if waiting == 0 && len(prepared) == 0 {
			b.t.Logf("%v after the start nothing was undecided, in doubt or prepared", time.Since(b.ready).Round(time.Millisecond))
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("%v after healing %d transactions are undecided or in doubt, and %v are prepared\n%s", patience, waiting, prepared, c.stderr)
		}
	}
}
