package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// part tells the messages of one op apart.
type part uint8

const (
	whole part = iota
	inner      // what it sends
	extra
	answering
	effecting
)

// body is what the simulated agents are told, and what they reply. It is not
// JSON, which the core never looks at, but cheap to write and read.
type body struct {
	op     uint32
	part   part
	evil   bool
	to     uint8 // an account
	policy uint8 // an effect, among policies
	action uint8 // what is to be sent, among innerActions
	timer  uint8
	amt, n int32
	ms     int32
	fails  int8
	pad    uint16 // bytes that the reply has more
	text   []byte
}

const bodyHeader = 26

func (b body) bytes() []byte { return b.append(make([]byte, 0, bodyHeader+len(b.text))) }

func (b body) append(dst []byte) []byte {
	var evil uint8
	if b.evil {
		evil = 1
	}
	dst = binary.LittleEndian.AppendUint32(dst, b.op)
	dst = append(dst, uint8(b.part), evil, b.to, b.policy, b.action, b.timer, uint8(b.fails), 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.amt))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.n))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.ms))
	dst = binary.LittleEndian.AppendUint16(dst, b.pad)
	return append(dst, b.text...)
}

func bodyOf(b []byte) body {
	if len(b) == 0 {
		return body{}
	}
	if len(b) < bodyHeader {
		panic(fmt.Sprintf("a body of %d bytes", len(b)))
	}
	le := binary.LittleEndian
	return body{
		op: le.Uint32(b), part: part(b[4]), evil: b[5] == 1, to: b[6], policy: b[7], action: b[8], timer: b[9], fails: int8(b[10]),
		amt: int32(le.Uint32(b[12:])), n: int32(le.Uint32(b[16:])), ms: int32(le.Uint32(b[20:])),
		pad: le.Uint16(b[24:]), text: b[bodyHeader:],
	}
}

// String is for traces and failures.
func (b body) String() string {
	return fmt.Sprintf("op%d/%d amt %d n %d to %d ms %d fails %d", b.op, b.part, b.amt, b.n, b.to, b.ms, b.fails)
}

const maxAgents = 10

var (
	accounts [maxAgents]message.Agent
	clocks   [3]message.Agent
	tallies  [40]message.Agent
	timers   = [...]string{"x", "y", "z"}
)

func init() {
	for i := range accounts {
		accounts[i] = agentOf("acct", fmt.Sprintf("a%d", i))
	}
	for i := range clocks {
		clocks[i] = agentOf("clock", fmt.Sprintf("c%d", i))
	}
	for i := range tallies {
		tallies[i] = agentOf("tally", fmt.Sprintf("t%d", i))
	}
}

func agentOf(typ, id string) message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: typ, ID: id}
}

// account is the number of an account, from its name.
func account(a message.Agent) uint8 { return a.ID[1] - '0' }
