package core

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/semel-dev/semel/message"
)

// How large rows will be, without encoding them. Each function has the name of
// the one that encodes, in record_*.go, and gives exactly the number of bytes
// that it appends, unless it says otherwise.

const (
	sealBytes    = 5                           // around every value: its format and its checksum
	maxUint      = 11                          // a field that holds a number
	numberBytes  = sealBytes + maxUint         // at most, of a row that holds one
	clockBytes   = 5 + sealBytes + 2*maxUint   // at most, of the clock's row with its key
	stateBytes   = sealBytes + 3*maxUint       // at most, of a state's row besides its key and its data
	controlBytes = sealBytes + 5*maxUint       // at most, of a control row besides its key, token, retries and names
	changesBytes = changeKeyBytes + sealBytes  // of a unit's changes with their key, besides the agents
	outcomeBytes = sealBytes + 10*maxUint + 50 // at most, of an outcome besides its texts and its ReplyTo
	traceBytes   = 3 + message.MaxTraceBytes   // at most, of a field that holds a trace
	effectGrows  = 1200                        // at most, of an effect's row while it is called: numbers and a reason
)

// sizeUint and the others are of fields with numbers up to 15, whose tag is
// one byte.
func sizeUint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeBytes(n int) int {
	if n == 0 {
		return 0
	}
	return sizeNested(n)
}

func sizeNested(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeAgent(a message.Agent) int {
	return sizeBytes(len(a.Tenant)) + sizeBytes(len(a.Type)) + sizeBytes(len(a.ID))
}

func sizeLink(l message.Link) int { return sizeBytes(len(l.Context)) + sizeBytes(len(l.Origin)) }

func sizeReplyTo(r *message.ReplyTo) int {
	return sizeNested(sizeAgent(r.Agent)) + sizeBytes(len(r.Action)) + sizeNested(sizeLink(r.Link))
}

func sizeAnswer(a *message.Answer) int {
	return sizeUint(uint64(a.Status)) + sizeBytes(len(a.Code)) + sizeBytes(len(a.Detail)) + sizeNested(sizeLink(a.Link))
}

func sizeMessage(m *message.Message) int {
	n := sizeBytes(len(m.ID)) + sizeNested(sizeAgent(m.To)) + sizeBytes(len(m.Action)) + sizeBytes(len(m.Principal)) +
		sizeBytes(len(m.Body)) + sizeBytes(len(m.Key)) + sizeBytes(len(m.Source)) + sizeUint(m.Position) +
		sizeBytes(len(m.Token)) + sizeUint(uint64(m.Sent)) + sizeBytes(len(m.Trace))
	if m.Key != "" {
		n += sizeBytes(len(m.Fingerprint))
	}
	if m.ReplyTo != nil {
		n += sizeNested(sizeReplyTo(m.ReplyTo))
	}
	if m.Answer != nil {
		n += sizeNested(sizeAnswer(m.Answer))
	}
	if m.Branch != nil {
		n += sizeNested(sizeBytes(len(m.Branch.Tx)) + sizeUint(uint64(m.Branch.Phase)))
	}
	return n
}

// sizeTimer is of the whole row's value.
func sizeTimer(r timerRow) int {
	return sealBytes + sizeUint(uint64(r.due)) + sizeNested(sizeMessage(r.msg))
}

// sizeEffect is at least the row's value, whatever becomes of the effect.
func sizeEffect(e *effectRecord) int {
	return sizeBytes(len(e.id)) + sizeBytes(len(e.name)) + sizeNested(sizeAgent(e.agent)) + sizeBytes(len(e.cause)) +
		sizeBytes(len(e.principal)) + sizeBytes(len(e.body)) + sizeBytes(len(e.then)) + sizeNested(sizeLink(e.link)) + sizeBytes(len(e.trace)) + effectGrows
}

// sizeRetries is at least what the retries take in their control row.
func sizeRetries(retries []*retry) int {
	n := 0
	for _, r := range retries {
		n += sizeRetry(r)
	}
	return n
}

func sizeRetry(r *retry) int {
	return sizeNested(sizeNested(sizeMessage(r.msg)) + 2*maxUint + sizeBytes(len(r.reason)))
}
