package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Report is what happened, and the verdict. Members may be added under its
// version; none is renamed or removed.
type Report struct {
	Version    int           `json:"version"`
	Verdict    string        `json:"verdict"` // clean or violated
	Violations []string      `json:"violations,omitempty"`
	Seed       uint64        `json:"seed"`
	Took       time.Duration `json:"took_ns"`
	Kills      int           `json:"kills"`
	Clients    int           `json:"clients"` // of each payment
	Story      []Scene       `json:"story"`
	Doubts     []Doubt       `json:"doubts"`
	Payments   []Payment     `json:"payments"`
	Account    struct {
		Opened  int64 `json:"opened"`  // cents
		Debits  int   `json:"debits"`  // that were acknowledged
		Debited int64 `json:"debited"` // by these
		Balance int64 `json:"balance"`
	} `json:"account"`
	Provider struct {
		Charges int   `json:"charges"`
		Cents   int64 `json:"cents"`
	} `json:"provider"`
}

// Payment is what became of one payment.
type Payment struct {
	ID       string  `json:"payment"`
	Way      Way     `json:"way"`
	Cents    int64   `json:"cents"`
	Killed   Instant `json:"killed,omitempty"`
	Requests int     `json:"requests"`          // of all clients
	CutOff   int     `json:"cut_off"`           // requests whose connection broke
	Replayed int     `json:"replayed"`          // clients whose final answer was a replay
	Doubted  bool    `json:"doubted"`           // it was in doubt for a while
	Charged  int     `json:"charged"`           // lines of the provider's ledger
	Receipt  string  `json:"receipt,omitempty"` // of the one charge
}

// Clean says whether every payment was made once.
func (r *Report) Clean() bool { return r.Verdict == "clean" }

func (r *Report) violated(form string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(form, args...))
}

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
