package torture

import (
	"encoding/json"
	"os"

	"github.com/semel-dev/semel/server"
)

const (
	// callTime is the timeout of the effects. What was not done is believed no
	// earlier, so that it is also how long the end takes.
	callTime = "2s"
	// attempts are so many that a keyed effect is never given up and in doubt
	// because a busy machine let its calls time out.
	attempts = 1000
	// shardsEach is how many shards there are for each node.
	shardsEach = 8
)

// schema is where in the database the run is.
func (s *stage) schema() string { return "torture_" + s.run }

// writeConfig writes the configuration of a server: an effect of each policy, and
// a principal that may do everything. JSON is YAML too.
func (s *stage) writeConfig(name string) error {
	type m = map[string]any
	effects := make(m)
	for _, policy := range s.opt.Policies {
		e := m{"url": s.ledgerURL + "/effects/" + policy, "policy": policy, "timeout": callTime, "attempts": attempts, "allow_private": true}
		if policy == "probe" {
			e["probe_url"] = s.ledgerURL + "/probe/{key}"
		}
		effects[effectName+policy] = e
	}
	config := m{
		"log":     m{"level": "warn"},
		"effects": effects,
		"auth": m{"principals": []m{{
			"name": "torture", "roles": []string{"call", "read", "operator"}, "tokens": []string{server.HashToken(s.opt.Token)},
		}}},
	}
	if s.opt.Store != "" {
		config["store"] = m{"url": s.opt.Store, "schema": s.schema(), "shards": shardsEach * s.opt.Nodes, "lease": s.opt.Lease.String()}
		config["node"] = m{"secret": s.opt.Token}
	}
	b, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o600)
}
