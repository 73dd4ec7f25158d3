package core

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/semel-dev/semel/message"
)

// body is what the agents of these tests are told, and what they reply.
type body struct {
	Op     string `json:"op,omitempty"`
	Amt    int    `json:"amt,omitempty"`
	To     string `json:"to,omitempty"`
	Policy string `json:"policy,omitempty"`
	Name   string `json:"name,omitempty"`
	N      int    `json:"n,omitempty"`
	MS     int    `json:"ms,omitempty"`
	Fails  int    `json:"fails,omitempty"`
	Text   string `json:"text,omitempty"`
	Pad    int    `json:"pad,omitempty"` // bytes that the reply has more
}

func (b body) bytes() []byte {
	out, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return out
}

func bodyOf(b []byte) (out body) {
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			panic(err)
		}
	}
	return out
}

// numbers is an agent state: named numbers, in the order of their first use.
type numbers struct {
	names []string
	at    map[string]int
	vals  []int64
	undo  []func()
}

func loadNumbers(_ uint32, data []byte) (State, error) {
	n := &numbers{at: make(map[string]int)}
	for len(data) > 0 {
		l, k := binary.Uvarint(data)
		name := string(data[k : k+int(l)])
		data = data[k+int(l):]
		v, k := binary.Varint(data)
		data = data[k:]
		n.set(name, v)
	}
	return n, nil
}

func (n *numbers) get(name string) int64 {
	if i, ok := n.at[name]; ok {
		return n.vals[i]
	}
	return 0
}

func (n *numbers) set(name string, v int64) {
	i, ok := n.at[name]
	if ok {
		was := n.vals[i]
		n.vals[i] = v
		n.undo = append(n.undo, func() { n.vals[i] = was })
		return
	}
	n.at[name] = len(n.vals)
	n.names, n.vals = append(n.names, name), append(n.vals, v)
	n.undo = append(n.undo, func() {
		last := len(n.vals) - 1
		delete(n.at, n.names[last])
		n.names, n.vals = n.names[:last], n.vals[:last]
	})
}

func (n *numbers) add(name string, v int64) { n.set(name, n.get(name)+v) }

func (n *numbers) Mark() { n.undo = n.undo[:0] }
func (n *numbers) Undo() error {
	for _, f := range slices.Backward(n.undo) {
		f()
	}
	n.undo = n.undo[:0]
	return nil
}
func (n *numbers) Append(dst []byte) ([]byte, error) {
	for i, name := range n.names {
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
		dst = binary.AppendVarint(dst, n.vals[i])
	}
	return dst, nil
}
func (n *numbers) Flat() bool { return false }

func simAgent(typ, id string) message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: typ, ID: id}
}

var (
	errFlaky  = errors.New("not this time")
	errPoison = errors.New("never")
)

func failed(err error) Result { return Result{Verdict: Failed, Err: err} }

func replied(b body) Result { return Result{Verdict: Replied, Body: b.bytes()} }

func refused(code string, keep bool) Result {
	return Result{Verdict: Refused, Code: code, Detail: "because", Keep: keep}
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

const (
	simStart     = message.Time(1_700_000_000e9)
	simPrincipal = "tester"
)
