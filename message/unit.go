package message

// Epoch counts the sessions of a shard: every Open raises it, and a commit
// that bears an older one is refused.
type Epoch uint64

// Seq numbers the units of a shard. It grows by one with each committed unit
// and goes on through epochs.
type Seq uint64

// Version is both halves of a shard's fence. The epoch stops a former owner;
// the sequence detects commits that an asynchronous failover lost.
type Version struct {
	Epoch Epoch
	Seq   Seq
}

// Generation numbers a time bucket of the dedup log. A generation's rows are
// dropped together.
type Generation uint32

// Table names a kind of row. The numbers are part of the on-disk format.
type Table uint8

// The tables of a shard. Every row belongs to one shard; within a table, rows
// are ordered by the bytes of their key. internal/core says what is in them.
const (
	TableMeta    Table = 1  // the shard's own singletons: clock, generations, outbox ends
	TableState   Table = 2  // agent → state
	TableOpen    Table = 3  // agent, identity → an outcome that is not settled
	TableDedup   Table = 4  // generation, agent, identity → a settled outcome
	TableOutbox  Table = 5  // destination shard (2 bytes), position (8 bytes) → message
	TableMailbox Table = 6  // agent, position → parked message
	TableControl Table = 7  // agent → hold, retries, ends of the mailbox
	TableEffect  Table = 8  // effect id → effect that is not settled
	TableTimer   Table = 9  // agent, name → timer
	TableDue     Table = 10 // due time, agent, name → nothing: the order in which timers fire
	TableDead    Table = 11 // message id → dead letter
	TableCursor  Table = 12 // source → the last position consumed
	TableChange  Table = 13 // generation (4 bytes), sequence (8 bytes) → the agents whose states the unit changed
)

// Tables is the number of tables plus one: the size of an array indexed by Table.
const Tables = 14

// RowKey addresses one row of a shard. Gen is zero except in TableDedup.
type RowKey struct {
	Table Table
	Gen   Generation
	Key   []byte
}

// Row is a row read back.
type Row struct {
	Key   []byte
	Value []byte
}

// Op says what a Write does.
type Op uint8

// The operations of a Write.
const (
	Put          Op = iota // store Value under the key
	Delete                 // remove the row, if it is there
	DeletePrefix           // remove every row of the table whose key begins with Key; never in TableDedup
)

// Write is one change of a unit. Later writes of a unit win over earlier ones.
type Write struct {
	RowKey
	Op    Op
	Value []byte
}

// Unit is what one shard commits at once: all of its writes become durable, or
// none. Version is the version that the commit creates: the session's epoch
// and the sequence that follows the last unit's. The store keeps no reference
// to the unit's bytes after Commit returned.
type Unit struct {
	Version Version
	Writes  []Write
}

// Bytes is the unit's payload: what its keys and values occupy.
func (u *Unit) Bytes() int {
	n := 0
	for i := range u.Writes {
		n += len(u.Writes[i].Key) + len(u.Writes[i].Value)
	}
	return n
}

// Cursor is a reader's place in the outbox that Source keeps for it: every
// message up to and including Position was consumed. Positions begin at 1 and
// have no gaps.
type Cursor struct {
	Source   Shard
	Position uint64
}

// Delivery is one message of another shard's outbox, still encoded.
type Delivery struct {
	Source   Shard
	Position uint64
	Data     []byte
}

// Incarnation tells one life of a store from another: a restored backup gets a
// new one, so that nothing issued before can be mistaken for it.
type Incarnation [16]byte
