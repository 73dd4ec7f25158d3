package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var background = context.Background()

// process is a program that has stores open, and can die without closing them.
type process struct {
	mu     sync.Mutex
	conns  []net.Conn
	stores []*Store
	died   bool
}

func (p *process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.died {
		return nil, errors.New("this process is dead")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		p.conns = append(p.conns, c)
	}
	return c, err
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.died = true
	for _, st := range p.stores {
		st.stop() // what a dead process does of itself
	}
	for _, c := range p.conns {
		_ = c.Close() // it may be closed already
	}
}

// machine is where a program runs that is started again when it died.
type machine struct {
	dsn string
	opt Options

	mu  sync.Mutex
	now *process
}

func (m *machine) OpenStore(ctx context.Context) (store.Store, error) {
	o, p := m.opener()
	st, err := o.OpenStore(ctx)
	if err == nil {
		p.opened(st.(*Store))
	}
	return st, err
}

func (m *machine) OpenPart(ctx context.Context, holds []message.Shard) (store.Part, error) {
	o, p := m.opener()
	st, err := o.OpenPart(ctx, holds)
	if err == nil {
		p.opened(st.(*Store))
	}
	return st, err
}

func (m *machine) opener() (store.PartOpener, *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		m.now = &process{}
	}
	opt := m.opt
	opt.dial = m.now.dial
	return At(m.dsn, opt).(store.PartOpener), m.now
}

func (p *process) opened(st *Store) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stores = append(p.stores, st)
}

func (m *machine) kill(testing.TB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.kill()
	m.now = nil
}

// schema is a name that no other test has.
func schema() string { return "s_" + strings.ToLower(rand.Text()[:16]) }

// owner commits units to one shard, each with the version that follows.
type owner struct {
	*session
	at message.Version
}

func openStore(t testing.TB, dsn string, opt Options) *Store {
	t.Helper()
	st, err := At(dsn, opt).OpenStore(background)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() }) // a test that broke the server gets an error here
	return st.(*Store)
}

func own(t testing.TB, st *Store, shard message.Shard) *owner {
	t.Helper()
	s, err := st.Open(background, shard, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	return &owner{session: s.(*session), at: s.Version()}
}

func state(key string) message.RowKey {
	return message.RowKey{Table: message.TableState, Key: []byte(key)}
}

// submit commits a unit that says its number, and waits for nothing.
func (o *owner) submit() store.Pending {
	o.at.Seq++
	return o.Commit(background, &message.Unit{Version: o.at, Writes: []message.Write{
		{RowKey: state(fmt.Sprint("unit ", o.at.Seq)), Value: []byte("here")},
		{RowKey: state("last"), Value: fmt.Append(nil, o.at.Seq)},
	}})
}

func (o *owner) commit(t testing.TB) {
	t.Helper()
	if err := o.submit().Wait(); err != nil {
		t.Fatal(err)
	}
}

// is checks that the shard has the units up to seq, and no other.
func (o *owner) is(t testing.TB, seq message.Seq) {
	t.Helper()
	rows, err := o.Scan(background, store.Range{Table: message.TableState}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := int(seq)
	if seq > 0 {
		want++
	}
	if o.at.Seq != seq || len(rows) != want {
		t.Fatalf("the shard is at %+v with %d rows, want unit %d", o.at, len(rows), seq)
	}
	if seq > 0 && string(rows[0].Value) != fmt.Sprint(seq) {
		t.Errorf("the last unit that wrote is %s, want %d", rows[0].Value, seq)
	}
}

// definite says whether an error settles that a unit is not committed.
func definite(err error) bool {
	for _, e := range []error{store.ErrFenced, store.ErrTooLarge, store.ErrFull, store.ErrClosed, store.ErrUnavailable} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// connect1 is a connection of the test's own.
func connect1(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(background, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(background) })
	return c
}

// waitForNobody makes commits wait for a standby that does not exist, and
// returns the query that counts those who do.
func waitForNobody(t testing.TB, s *pgtest.Server) string {
	t.Helper()
	s.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	s.Exec(t, "SELECT pg_reload_conf()")
	pgtest.Await(t, s.DSN("postgres"), "SELECT current_setting('synchronous_standby_names')", "nobody")
	return "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
}

// waitForNone ends that, for those who wait as well.
func waitForNone(t testing.TB, s *pgtest.Server) {
	t.Helper()
	s.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = ''")
	s.Exec(t, "SELECT pg_reload_conf()")
}
