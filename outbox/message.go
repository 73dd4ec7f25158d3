package outbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Message is what Send appends and a Relay delivers.
type Message struct {
	// ID is by which receivers know a second delivery of the message: unique
	// for the sender, 512 bytes at most. Empty: Send makes a UUIDv7.
	ID string
	// Key orders: messages with the same key are delivered in the order in
	// which their transactions commit, one that fails holds up the ones behind
	// it, and no others. Empty: the message has no order, and waits for none.
	// Transactions that send with the same key wait for each other.
	Key string
	// Topic is where it goes, in the words of the sink: a topic, a route, an
	// agent's action. It may be empty.
	Topic string
	// Type is what it says, for example "order.paid". It may be empty if the
	// sink does without.
	Type string
	// Headers go along. Names and values are valid UTF-8; 64 KiB in all.
	Headers map[string]string
	// Body is passed on byte for byte, 1 MiB at most. Send does not keep it.
	Body []byte

	// Number is the message's place among those with its key: it grows, and is
	// without gaps as long as the key is in use. The first number of a key is a
	// time in microseconds, so that a key which was cleaned away as idle does
	// not begin below where it ended. Set by the relay.
	Number int64
	// SentAt is when it was sent, by the database's clock. Set by the relay.
	SentAt time.Time

	okey   [okeyBytes]byte // the ordering key: of Key, or random
	damage error           // why the headers cannot be read; nil if they can
}

const (
	okeyBytes       = 16
	mostBodyBytes   = 1 << 20
	mostHeaderBytes = 64 << 10
)

// row is a message as it is written.
type row struct {
	okey     [okeyBytes]byte
	ordered  bool
	id       string
	key      string
	topic    string
	typ      string
	headers  []byte
	body     []byte
	position int // among the call's messages with the same ordering key
}

// rowOf checks a message.
func rowOf(m *Message) (row, error) {
	r := row{id: m.ID, key: m.Key, topic: m.Topic, typ: m.Type, body: m.Body, ordered: m.Key != ""}
	if r.id == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return r, err
		}
		r.id = id.String()
	}
	for _, s := range []struct{ what, text string }{{"ID", r.id}, {"key", r.key}, {"topic", r.topic}, {"type", r.typ}} {
		if err := checkText("its "+s.what, s.text); err != nil {
			return r, err
		}
	}
	for name, value := range m.Headers {
		if err := checkText("a header's name", name); err != nil {
			return r, err
		}
		if string([]rune(value)) != value {
			return r, fmt.Errorf("the header %q is not UTF-8", name)
		}
	}
	var err error
	if r.headers, err = json.Marshal(m.Headers); err != nil {
		return r, err
	}
	if len(r.headers) > mostHeaderBytes {
		return r, fmt.Errorf("its headers have %d bytes; %d are allowed", len(r.headers), mostHeaderBytes)
	}
	if len(r.body) > mostBodyBytes {
		return r, fmt.Errorf("its body has %d bytes; %d are allowed", len(r.body), mostBodyBytes)
	}
	if r.body == nil {
		r.body = []byte{} // NULL is not what was sent
	}
	if r.ordered {
		h := sha256.Sum256([]byte(m.Key))
		r.okey = [okeyBytes]byte(h[:])
	} else {
		_, _ = rand.Read(r.okey[:]) // never fails
	}
	return r, nil
}

// columns of a message in the order in which scanMessage reads them.
const columns = "okey, n, id, msg_key, topic, type, headers, body, sent_at"

// scanMessage reads one. Headers that cannot be read are the message's damage, and
// no error of the reading: whoever reads many goes on with the others.
func scanMessage(rows Rows, more ...any) (Message, error) {
	var m Message
	var okey, headers []byte
	var sent int64
	dest := append([]any{&okey, &m.Number, &m.ID, &m.Key, &m.Topic, &m.Type, &headers, &m.Body, &sent}, more...)
	if err := rows.Scan(dest...); err != nil {
		return m, err
	}
	if len(okey) != okeyBytes {
		return m, fmt.Errorf("outbox: message %q has an ordering key of %d bytes", m.ID, len(okey))
	}
	m.okey, m.SentAt = [okeyBytes]byte(okey), time.UnixMicro(sent).UTC()
	if err := json.Unmarshal(headers, &m.Headers); err != nil {
		m.Headers, m.damage = nil, fmt.Errorf("the headers cannot be read: %w", err)
	}
	return m, nil
}
