package twopc

import (
	"encoding/json"
	"time"

	"github.com/semel-dev/semel"
)

// State says where a transaction stands.
type State string

// The states of a transaction.
const (
	Undecided State = "undecided" // votes are asked for
	Committed State = "committed" // all of it happens
	Aborted   State = "aborted"   // nothing of it happens
	// Unclear is what became of a transaction of one agent whose action said that
	// nobody can know whether it took effect. Of more than one it cannot be.
	Unclear State = "unclear"

	// presumed is kept of a transaction that is not known, and was asked about:
	// it is aborted, and nothing more is known.
	presumed State = "presumed"
)

// VoteOf says how a branch voted.
type VoteOf string

// The votes.
const (
	VoteNone     VoteOf = ""          // it was not asked
	VoteAsked    VoteOf = "asked"     // it was asked, and what it says is not known
	VoteYes      VoteOf = "yes"       // it is prepared
	VoteReadOnly VoteOf = "read_only" // yes, and there is nothing to keep
	VoteNo       VoteOf = "no"        // nothing is prepared
)

// transaction is the state of the coordinating agent. What it does next is a
// function of it and of one event: see machine.go.
type transaction struct {
	Tx        string    `json:"tx"`
	State     State     `json:"state,omitempty"`
	Principal string    `json:"principal,omitempty"` // on whose behalf
	Request   string    `json:"request,omitempty"`   // a hash of what was asked for under the key
	OnePhase  bool      `json:"one_phase,omitempty"`
	Began     time.Time `json:"began,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
	Decided   time.Time `json:"decided,omitzero"`
	Finished  time.Time `json:"finished,omitzero"` // nobody needs to be told any more
	Tick      time.Time `json:"tick,omitzero"`     // when the timer is due
	Alarm     time.Time `json:"alarm,omitzero"`    // when somebody is told that it is not finished
	Inquired  int       `json:"inquired,omitempty"`
	Refusal   *refusal  `json:"refusal,omitempty"` // why it was aborted
	Branches  []branch  `json:"branches,omitempty"`

	Waiting semel.Waiting `json:"waiting,omitempty"` // whose outcome the decision is
}

// branch is one participant's part, as the coordinator knows it. Its name is its
// number, from 1.
type branch struct {
	Type        string `json:"type,omitempty"` // of an agent
	ID          string `json:"id,omitempty"`
	Action      string `json:"action,omitempty"`
	Participant string `json:"participant,omitempty"` // the name of one outside, instead

	Body   json.RawMessage `json:"body,omitempty"` // until nobody needs it any more
	Vote   VoteOf          `json:"vote,omitempty"`
	Handle string          `json:"handle,omitempty"`
	Reply  json.RawMessage `json:"reply,omitempty"`
	// Unsure says that a call of Prepare ended without an answer: what it
	// prepared, if it did, may be there besides what the vote says.
	Unsure bool `json:"unsure,omitempty"`

	Preparing bool   `json:"preparing,omitempty"` // Prepare is under way
	Telling   bool   `json:"telling,omitempty"`   // Commit or Abort is under way
	Effect    string `json:"effect,omitempty"`    // the key of what is under way outside

	Told     time.Time   `json:"told,omitzero"`  // the decision, for the first time
	Acked    time.Time   `json:"acked,omitzero"` // ... and it is over there
	Attempts int         `json:"attempts,omitempty"`
	Error    string      `json:"error,omitempty"` // of the last attempt
	Again    time.Time   `json:"again,omitzero"`  // when to ask or to tell again
	Hazard   string      `json:"hazard,omitempty"`
	Resolved *Resolution `json:"resolved,omitempty"`
}

// refusal is why a transaction is aborted.
type refusal struct {
	Code   string          `json:"code"`
	Detail string          `json:"detail,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`   // the voter's
	Branch int             `json:"branch,omitempty"` // its number, from 1; 0 if it is about none
}

// outside says whether the branch is at a participant outside, and not an agent.
func (b *branch) outside() bool { return b.Participant != "" }

// subject names who has the branch.
func (b *branch) subject() string {
	if b.outside() {
		return b.Participant
	}
	return b.Type + "/" + b.ID
}

// over says whether nothing needs to be said to the branch any more. An agent
// that was told to abort before its turn came votes no whenever that is.
func (b *branch) over() bool {
	return !(b.Preparing && b.outside()) && !b.Telling && (!b.Acked.IsZero() || b.Resolved != nil)
}

// hazardous says whether somebody resolved the branch against the decision, and
// no operator has taken note of it.
func (b *branch) hazardous() bool { return b.Hazard != "" && b.Resolved == nil }

// undecided says whether the transaction may still be decided either way.
func (t *transaction) undecided() bool { return t.State == Undecided }

// decided says whether there is a decision that branches are told of.
func (t *transaction) decided() bool { return t.State == Committed || t.State == Aborted }

// is says whether the agent is at the transaction. It may be at another one, of
// the same key, whose outcome was forgotten.
func (t *transaction) is(tx string) bool { return tx != "" && t.Tx == tx && t.State != presumed }
