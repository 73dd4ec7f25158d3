package check

import "fmt"

// The format of a history. A reader refuses another version.
const Version = 1

// ManifestFile is the one file of a history that is no lines.
const ManifestFile = "run.json"

// FailedRestart is what Failed says of a server that had served, was killed, and
// was not ready again: what it was told to keep is lost.
const FailedRestart = "the server does not start again after a kill"

// Manifest says what was played. It is written when the run begins, and again at
// its end.
type Manifest struct {
	Version  int      `json:"version"`
	Run      string   `json:"run"` // the prefix of all keys and accounts
	Seed     uint64   `json:"seed"`
	Started  string   `json:"started"` // RFC 3339
	Took     int64    `json:"took_ns"`
	Finished bool     `json:"finished"`           // it was played to its end
	Failed   string   `json:"failed,omitempty"`   // why it was not
	Server   string   `json:"server"`             // the command that was run, or that it was running already
	Nodes    int      `json:"nodes,omitempty"`    // of a cluster
	Lease    int64    `json:"lease_ns,omitempty"` // after which others take what a node had
	Files    []string `json:"files"`
	Policies []string `json:"policies"`       // of the effects that were called
	Bank     *Bank    `json:"bank,omitempty"` // if transactions were played
	Goal     Goal     `json:"goal"`
}

// Bank is the accounts that are moved by transactions alone, once they have their
// first balance: what they have together never changes.
type Bank struct {
	Accounts int   `json:"accounts"`
	Cents    int64 `json:"cents"`      // that each gets at the beginning, by a credit
	Timeout  int64 `json:"timeout_ns"` // that a transaction has to be decided
}

// Goal is what makes a run conclusive.
type Goal struct {
	Operations int `json:"operations"`
	Kills      int `json:"kills"`
	// Parts of the operations, in percent.
	Duplicates  float64 `json:"duplicates"`
	LostReplies float64 `json:"lost_replies"`
	// Transactions is their part of the operations, in percent.
	Transactions float64 `json:"transactions,omitempty"`
}

// The types of records.
const (
	Invoke = "invoke" // a client sends a request
	OK     = "ok"     // it was answered: done
	Fail   = "fail"   // it was answered: rejected, or not done
	Info   = "info"   // its effect is not known
	Drain  = "drain"  // a client has sent every undecided key again until it was decided
	Fault  = "fault"  // something was broken on purpose
	Effect = "effect" // the outside world did what it was asked
	Call   = "call"   // the outside world was asked, and did nothing
	Probed = "probe"  // the outside world was asked what it did
	Settle = "settle" // the operator settled a doubt
	State  = "state"  // an account at the end
	Doubt  = "doubt"  // a doubt that is left at the end
	Dead   = "dead"   // a dead letter that is left at the end
	Open   = "open"   // a transaction that is not over at the end
	Listed = "listed" // the operator has listed the transactions that are not over
	Looked = "looked" // the operator has looked for doubts and dead letters at the end
	End    = "end"    // the file's last line
)

// Record is a line. Which members it has depends on its type.
type Record struct {
	Type string `json:"type"`
	At   int64  `json:"at"` // nanoseconds since the run began

	ID string `json:"id,omitempty"` // of a request, in invoke, ok, fail, info

	// What is asked for: invoke, and as the outside world heard it: effect, call.
	Key    string `json:"key,omitempty"`    // the idempotency key
	Op     string `json:"op,omitempty"`     // credit, debit, transfer, read, effect, malformed, transaction
	Agent  string `json:"agent,omitempty"`  // type/id
	Cents  int64  `json:"cents,omitempty"`  // the amount
	To     string `json:"to,omitempty"`     // of a transfer: the other account, type/id
	Policy string `json:"policy,omitempty"` // of an effect
	Print  string `json:"print,omitempty"`  // fingerprint of operation and payload
	Phase  string `json:"phase,omitempty"`  // why it is sent; load if it is not said

	Parts []Part `json:"parts,omitempty"` // of a transaction, as they were sent

	Batch int `json:"batch,omitempty"` // calls that are in the same request, this one too

	// What was answered: ok, fail, info.
	Status   int     `json:"status,omitempty"`
	Code     string  `json:"code,omitempty"`
	Kind     string  `json:"kind,omitempty"` // not_done, rejected, unknown
	Reply    string  `json:"reply,omitempty"`
	Replayed bool    `json:"replayed,omitempty"`
	Again    bool    `json:"again,omitempty"`    // the nodes were asked more than once: a replay may be of the request itself
	Balance  *int64  `json:"balance,omitempty"`  // that the reply told; of a state too
	Balances []int64 `json:"balances,omitempty"` // that the reply of a transaction told, of its parts
	Refused  string  `json:"refused,omitempty"`  // the agent by which a transaction was refused
	Receipt  string  `json:"receipt,omitempty"`  // that the reply told; of an effect too
	Text     string  `json:"text,omitempty"`     // of a conflict: all that it said

	// The outside world, and the operator: effect, call, probe, settle, doubt.
	EffectKey  string `json:"effect_key,omitempty"`
	Told       string `json:"told,omitempty"` // what the caller was answered: done, declined, nothing
	Found      bool   `json:"found,omitempty"`
	Resolution string `json:"resolution,omitempty"` // done, not_done

	Pending int64  `json:"pending,omitempty"` // of a state
	Tx      string `json:"tx,omitempty"`      // of a transaction that is not over

	// What was broken, until when.
	Fault string   `json:"fault,omitempty"`
	Until int64    `json:"until,omitempty"`
	Node  int      `json:"node,omitempty"`  // of a cluster, from 1
	Moved int64    `json:"moved,omitempty"` // when all that the node had was answered for by others
	Keys  []string `json:"keys,omitempty"`  // of the calls of the batch that it befell

	Left  int `json:"left,omitempty"`  // of drain: keys without a decision
	Lines int `json:"lines,omitempty"` // of end: the lines before it
}

// Part is what a transaction does to one account of the bank.
type Part struct {
	Account int   `json:"n"`
	Cents   int64 `json:"c,omitempty"` // a credit, a debit if it is negative, or 0: its balance is read
}

// BankAccount is the name of an account of a run's bank.
func BankAccount(run string, n int) string { return fmt.Sprintf("account/%s-bank-%d", run, n) }

// The phases of a request.
const (
	PhaseLoad    = ""        // the first time, a repetition, a duplicate
	PhaseAltered = "altered" // another payload under a key that is decided
	PhaseDrain   = "drain"   // what was undecided when the load ended
	PhaseAgain   = "again"   // everything that was decided, once more, at the end
	PhaseLast    = "last"    // the last read of the bank
)

// The operations.
const (
	OpCredit      = "credit"
	OpDebit       = "debit"
	OpTransfer    = "transfer"
	OpRead        = "read"
	OpEffect      = "effect"
	OpMalformed   = "malformed"   // a body that no action takes
	OpTransaction = "transaction" // of the bank: some accounts are moved, or read, or both
)

// The policies of effects.
const (
	Keyed      = "keyed"
	Probe      = "probe"
	AtMostOnce = "at_most_once"
	Ask        = "ask"
)

// What the outside world told its caller.
const (
	ToldDone     = "done"
	ToldDeclined = "declined" // no: nothing was done
	ToldNothing  = "nothing"  // it closed the connection
)

// The faults.
const (
	FaultKill      = "kill"       // SIGKILL, until the server was ready again
	FaultPause     = "pause"      // SIGSTOP, until SIGCONT
	FaultRestart   = "restart"    // SIGTERM, until the server was ready again
	FaultMidway    = "midway"     // the user's command, until it was over
	FaultCut       = "cut"        // a request did not arrive, or its connection was closed meanwhile
	FaultDelay     = "delay"      // a request arrived later
	FaultDuplicate = "duplicate"  // a request arrived twice
	FaultLostReply = "lost_reply" // the reply did not arrive
	FaultTwice     = "sent_twice" // a client sent a request twice at once
)

// Codes of answers that the rules speak of.
const (
	codeConflict = "idempotency_conflict"
	codeInDoubt  = "in_doubt"
	codeUnknown  = "outcome_unknown"
	codeDead     = "dead"
	codeInFlight = "in_flight"
	codeFunds    = "insufficient_funds"
	codeDeclined = "rejected_by_provider"
	codeTimeout  = "timeout"

	// statusAccepted is the answer to whoever does not wait for the outcome.
	statusAccepted = 202

	kindRejected = "rejected"
	kindNotDone  = "not_done"
)
