package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel/store"
)

var background = context.Background()

// process is a program that has stores open, and can die without closing them.
type process struct {
	mu    sync.Mutex
	conns []net.Conn
	died  bool
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
	m.mu.Lock()
	if m.now == nil {
		m.now = &process{}
	}
	opt := m.opt
	opt.dial = m.now.dial
	m.mu.Unlock()
	return At(m.dsn, opt).OpenStore(ctx)
}

func (m *machine) kill(testing.TB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.kill()
	m.now = nil
}

// schema is a name that no other test has.
func schema() string { return "s_" + strings.ToLower(rand.Text()[:16]) }
