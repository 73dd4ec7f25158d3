package message

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"
)

// DefaultTenant owns everything when no authentication is configured.
const DefaultTenant = "default"

// Anonymous is the principal of a caller that did not say who it is.
const Anonymous = "anonymous"

// Agent names one agent. Names are compared as bytes.
type Agent struct {
	Tenant string
	Type   string
	ID     string
}

// String is the agent as people write it: "account/alice", with the tenant in
// front when it is not the default one.
func (a Agent) String() string {
	if a.Tenant == "" || a.Tenant == DefaultTenant {
		return a.Type + "/" + a.ID
	}
	return a.Tenant + ":" + a.Type + "/" + a.ID
}

// Validate refuses a name that could not be stored or addressed.
func (a Agent) Validate() error {
	if err := CheckName("tenant", a.Tenant); err != nil {
		return err
	}
	if strings.ContainsAny(a.Tenant, "/:") {
		return fmt.Errorf("tenant %q must not contain '/' or ':'", a.Tenant)
	}
	if err := CheckName("agent type", a.Type); err != nil {
		return err
	}
	if strings.IndexByte(a.Type, '/') >= 0 || strings.IndexByte(a.Type, ':') >= 0 {
		return fmt.Errorf("agent type %q must not contain '/' or ':'", a.Type)
	}
	if a.ID == "." || a.ID == ".." {
		return fmt.Errorf("agent id %q is a relative path and cannot be addressed; use another id", a.ID)
	}
	return CheckName("agent id", a.ID)
}

// AppendKey appends the agent's order-preserving row key: the three names,
// each closed by a zero byte, which no name may contain. The default tenant is
// written as the empty name, so the common case stays short.
func (a Agent) AppendKey(dst []byte) []byte {
	if a.Tenant != DefaultTenant {
		dst = append(dst, a.Tenant...)
	}
	dst = append(dst, 0)
	dst = append(dst, a.Type...)
	dst = append(dst, 0)
	dst = append(dst, a.ID...)
	return append(dst, 0)
}

// ParseAgentKey reads what AppendKey wrote and returns the rest of the key.
func ParseAgentKey(key []byte) (Agent, []byte, error) {
	var names [3]string
	rest := key
	for i := range names {
		n := bytes.IndexByte(rest, 0)
		if n < 0 {
			return Agent{}, nil, fmt.Errorf("row key %q does not name an agent", key)
		}
		names[i], rest = string(rest[:n]), rest[n+1:]
	}
	if names[0] == "" {
		names[0] = DefaultTenant
	}
	return Agent{Tenant: names[0], Type: names[1], ID: names[2]}, rest, nil
}

// Shard numbers a shard of a store, from zero.
type Shard uint16

// ShardOf maps an agent to its shard among n. The mapping is part of the
// on-disk format: it must never change for a store that exists.
func ShardOf(a Agent, n int) Shard {
	var buf [128]byte
	return Shard(xxh3.Hash(a.AppendKey(buf[:0])) % uint64(n))
}
