package saga

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Config tunes the sagas of an App. The zero value of a field means its default.
type Config struct {
	// Keep is how long a saga can be read after its end; then it is forgotten.
	// 24 hours. Who starts it again with the same key gets its outcome for as long
	// as it is kept, or its outcome is (semel.Config.Retention).
	Keep time.Duration
	// MaxState bounds a saga's state as JSON, in bytes. 256 KiB. With what is
	// recorded of its steps it must fit into semel.Config.MaxState.
	MaxState int
	// Logger hears the alarms. Nothing is logged by default.
	Logger *slog.Logger
	// OnAlarm is called for each alarm, besides the log, from many goroutines. It
	// must not block.
	OnAlarm func(Alarm)
}

// Registry has all saga definitions of an App. It is safe for concurrent use.
type Registry struct {
	app *semel.App
	cfg Config

	mu          sync.Mutex
	definitions map[string]*definition
	alarms      map[string]uint64
}

// Register makes an App ready for sagas. It is called once, before the App is
// started; it panics otherwise, and if cfg has negative values. A nil cfg means
// the defaults; it is copied.
func Register(app *semel.App, cfg *Config) *Registry {
	g := &Registry{app: app, definitions: make(map[string]*definition), alarms: make(map[string]uint64)}
	if cfg != nil {
		g.cfg = *cfg
	}
	if g.cfg.Keep < 0 || g.cfg.MaxState < 0 {
		panic("saga: Register: the configuration has negative values")
	}
	if g.cfg.Keep == 0 {
		g.cfg.Keep = defaultKeep
	}
	if g.cfg.MaxState == 0 {
		g.cfg.MaxState = defaultMaxState
	}
	semel.NewEffect(app, AlarmEffect, g.onAlarm, semel.ReadOnly)
	return g
}

const defaultMaxState = 256 << 10

// New registers a definition, whose sagas have the state S: plain data, which
// must survive a round trip through JSON. The versions are all that sagas may
// still be running with. It panics if the App was started, the name is taken or
// invalid, or a version is: what is wrong is a mistake in the program.
func New[S any](g *Registry, name string, versions ...Version[S]) *Definition[S] {
	d, err := Define(g, name, versions...)
	if err != nil {
		panic(err.Error())
	}
	return d
}

// Define is New for definitions that are not the program's own, but a
// configuration's: it returns what is wrong with them. It still panics if the App
// was started.
func Define[S any](g *Registry, name string, versions ...Version[S]) (*Definition[S], error) {
	plans, latest, err := compileAll(name, versions)
	if err != nil {
		return nil, err
	}
	d := &definition{registry: g, name: name, typ: typeOf(name), plans: plans, latest: latest, begin: beginner[S]()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.definitions[name] != nil {
		return nil, fmt.Errorf("saga: %q is defined twice", name)
	}
	d.register(g.app)
	g.definitions[name] = d
	return &Definition[S]{d: d}, nil
}

// Check says what is wrong with a definition, as Define does, and registers
// nothing.
func Check[S any](name string, versions ...Version[S]) error {
	_, _, err := compileAll(name, versions)
	return err
}

func compileAll[S any](name string, versions []Version[S]) (plans map[int]*plan, latest int, err error) {
	if !isName(name) {
		return nil, 0, fmt.Errorf("saga: the name %q: a name has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -", name)
	}
	if len(versions) == 0 {
		return nil, 0, fmt.Errorf("saga: %q has no version", name)
	}
	plans = make(map[int]*plan)
	for _, v := range versions {
		p, err := compile(v)
		if err == nil && plans[v.Number] != nil {
			err = fmt.Errorf("version %d is there twice", v.Number)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("saga: %q: %w", name, err)
		}
		plans[v.Number], latest = p, max(latest, v.Number)
	}
	return plans, latest, nil
}

// Info is what is registered of a definition.
type Info struct {
	Name     string
	Type     string   // of the agents that are its sagas
	Versions []int    // in order; new sagas begin with the last
	Steps    []string // of the last
}

// Definitions lists what is registered, by name.
func (g *Registry) Definitions() []Info {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Info
	for _, name := range slices.Sorted(maps.Keys(g.definitions)) {
		d := g.definitions[name]
		i := Info{Name: name, Type: d.typ, Versions: d.versions()}
		for _, s := range d.plans[d.latest].steps {
			i.Steps = append(i.Steps, s.name)
		}
		all = append(all, i)
	}
	return all
}

func (g *Registry) definition(name string) (*definition, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.definitions[name]; d != nil {
		return d, nil
	}
	return nil, &semel.NotDoneError{Code: message.CodeUnknownAgentType, Detail: fmt.Sprintf("there is no saga definition %q", name)}
}

// find is the definition that an id belongs to, and the id of its agent.
func (g *Registry) find(id string) (*definition, string, error) {
	name, agent, ok := parseID(id)
	if !ok {
		return nil, "", unknownSaga(id)
	}
	d, err := g.definition(name)
	if err != nil {
		return nil, "", unknownSaga(id)
	}
	return d, agent, nil
}

func unknownSaga(id string) error {
	return &semel.NotDoneError{Code: message.CodeUnknownAgent, Detail: fmt.Sprintf("there is no saga %q: it was never started, or was forgotten after its end", id)}
}
