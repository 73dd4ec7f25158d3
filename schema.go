package semel

import (
	"encoding/json"
	"fmt"
)

// Migration turns a state of one schema version into the next one's.
type Migration struct {
	from int
	fn   func(json.RawMessage) (json.RawMessage, error)
}

// Migrate is the migration from schema version from to from+1. fn gets the
// JSON of the old state and returns that of the new one; it must depend on
// nothing else, may keep nothing of its argument, and may return it.
func Migrate(from int, fn func(old json.RawMessage) (json.RawMessage, error)) Migration {
	return Migration{from: from, fn: fn}
}

// SchemaVersion says that the agent's state type is the version-th, and how
// older states become it: one Migrate for each version from 1 on. Without it
// the version is 1. A stored state is migrated when it is loaded and written
// back by the agent's next step. A state of a newer version than the program's
// is never touched: its agent's calls fail and say so.
func SchemaVersion(version int, migrations ...Migration) AgentOption {
	return agentOption(func(o *agentOptions) {
		if version < 1 {
			panic(fmt.Sprintf("semel: schema version %d: versions begin at 1", version))
		}
		o.schema = schema{version: uint32(version), steps: make([]func(json.RawMessage) (json.RawMessage, error), version)}
		for _, m := range migrations {
			if m.from < 1 || m.from >= version {
				panic(fmt.Sprintf("semel: schema version %d cannot have a migration from version %d", version, m.from))
			}
			if o.schema.steps[m.from] != nil {
				panic(fmt.Sprintf("semel: schema version %d has two migrations from version %d", version, m.from))
			}
			if m.fn == nil {
				panic(fmt.Sprintf("semel: the migration from schema version %d is nil", m.from))
			}
			o.schema.steps[m.from] = m.fn
		}
		for from := 1; from < version; from++ {
			if o.schema.steps[from] == nil {
				panic(fmt.Sprintf("semel: schema version %d has no migration from version %d; add semel.Migrate(%d, …)", version, from, from))
			}
		}
	})
}

// schema is an agent type's state version and the way to it.
type schema struct {
	version uint32
	steps   []func(json.RawMessage) (json.RawMessage, error) // by the version they start from
}

func (sc *schema) migrate(agentType string, version uint32, data []byte) ([]byte, error) {
	if version == sc.version || len(data) == 0 {
		return data, nil
	}
	if version > sc.version {
		return nil, fmt.Errorf("this program knows agent type %q up to schema version %d: run the newer program that wrote version %d", agentType, sc.version, version)
	}
	if version == 0 {
		return nil, fmt.Errorf("a state of agent type %q has no schema version", agentType)
	}
	data = append([]byte(nil), data...) // a migration may change what it gets
	for v := version; v < sc.version; v++ {
		var err error
		if data, err = sc.run(v, data); err != nil {
			return nil, fmt.Errorf("migrate a state of agent type %q from schema version %d to %d: %w", agentType, v, v+1, err)
		}
	}
	return data, nil
}

// run calls one migration. A panic must not end the shard's loop.
func (sc *schema) run(version uint32, data []byte) (out []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the migration panicked: %v", v)
		}
	}()
	return sc.steps[version](data)
}
