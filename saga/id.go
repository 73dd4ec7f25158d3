package saga

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// typeOf is the agent type of a definition's sagas.
func typeOf(name string) string { return typePrefix + name }

const typePrefix = "saga."

// agentID is the id of the agent that is the saga: the same for every retry of
// whoever starts it, by which it is found again, and of no other.
func agentID(tenant, principal, key string) string {
	b := []byte("saga\x00")
	for _, part := range []string{tenant, principal, key} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// idOf is what people call the saga.
func idOf(name, agent string) string { return name + "-" + agent }

// parseID reads what idOf wrote.
func parseID(id string) (name, agent string, ok bool) {
	at := strings.LastIndexByte(id, '-')
	if at < 1 {
		return "", "", false
	}
	name, agent = id[:at], id[at+1:]
	b, err := hex.DecodeString(agent)
	return name, agent, err == nil && len(b) == 16 && agent == strings.ToLower(agent)
}
