package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/semel-dev/semel/twopc"
)

// The codes of problem documents that the contract itself has. All others are the
// participant's own reasons for a no.
const (
	codeResolved = "resolved" // prepare: the branch was resolved before
	codeNotDone  = "not_done" // with 503 and 429: nothing was done
	codeConflict = "conflict" // prepare: the branch was prepared with another body
	codeInvalid  = "invalid_request"
)

// maxMessage is the longest request and, unless configured, answer: 1 MiB.
const maxMessage = 1 << 20

// request is the body of all three calls.
type request struct {
	Tx     string          `json:"tx"`
	Branch string          `json:"branch"`
	Handle string          `json:"handle,omitempty"` // of commit and abort
	Body   json.RawMessage `json:"body,omitempty"`   // of prepare
}

// key is the Idempotency-Key of a branch's calls.
func (r request) key() string { return r.Tx + "/" + r.Branch }

// vote answers prepare, with 200.
type vote struct {
	Vote   string          `json:"vote"` // "yes" or "read_only"
	Handle string          `json:"handle,omitempty"`
	Reply  json.RawMessage `json:"reply,omitempty"`
}

// preparedList answers GET prepared.
type preparedList struct {
	Prepared []listed `json:"prepared"`
}

type listed struct {
	Tx     string    `json:"tx"`
	Branch string    `json:"branch"`
	Handle string    `json:"handle,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// problem is what the contract needs of a problem document (RFC 9457).
type problem struct {
	Title  string          `json:"title,omitempty"`
	Status int             `json:"status,omitempty"`
	Detail string          `json:"detail,omitempty"`
	Code   string          `json:"code"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Decision is what a coordinator says to a participant that asks.
type Decision string

// The decisions.
const (
	Wait   Decision = "wait" // it is not decided
	Commit Decision = "commit"
	Abort  Decision = "abort"
)

type decision struct {
	Decision Decision `json:"decision"`
}

// checkHandle refuses what is no handle.
func checkHandle(h string) error {
	if len(h) > 64 || !utf8.ValidString(h) || strings.ContainsFunc(h, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the handle %.80q is not at most 64 bytes of text", h)
	}
	return nil
}

func check(tx, branch, handle string) error {
	if err := (twopc.Branch{Tx: tx, Name: branch}).Validate(); err != nil {
		return err
	}
	return checkHandle(handle)
}
