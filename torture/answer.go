package torture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/semel-dev/semel/torture/check"
)

// problem is the server's answer when it is no reply.
type problem struct {
	Code   string          `json:"code"`
	Kind   string          `json:"kind"`
	Detail string          `json:"detail"`
	Data   json.RawMessage `json:"data"`
}

// maxText bounds what is kept of a conflict's text.
const maxText = 2000

const (
	codeLost  = "connection_lost" // ours, of requests whose answer did not come
	codeOpen  = "in_flight"
	codeDoubt = "in_doubt"
)

// lostReply is the record of a request that was not answered.
func lostReply() check.Record {
	return check.Record{Type: check.Info, Code: codeLost, Kind: "unknown"}
}

// answered is the record of an answer.
func answered(o *operation, status int, body []byte, replayed, again bool) check.Record {
	rec := check.Record{Status: status, Replayed: replayed, Again: again}
	if status == http.StatusAccepted { // durably, which is not an outcome
		rec.Type, rec.Code, rec.Kind = check.Info, codeOpen, "unknown"
		return rec
	}
	if status == http.StatusOK {
		rec.Type, rec.Reply = check.OK, digest(body)
		if err := reply(o, body, &rec); err != nil {
			// It is no reply of ours; the checker will not find what it needs.
			rec.Text = string(body[:min(len(body), maxText)])
		}
		return rec
	}
	var p problem
	if err := json.Unmarshal(body, &p); err != nil || p.Kind == "" {
		rec.Type, rec.Code, rec.Kind = check.Info, fmt.Sprintf("http_%d", status), "unknown"
		return rec
	}
	rec.Code, rec.Kind = p.Code, p.Kind
	switch p.Kind {
	case "rejected":
		rec.Type, rec.Reply = check.Fail, digest(fmt.Appendf(nil, "%s\n%s\n%s", p.Code, p.Detail, p.Data))
		if o.kind == check.OpTransaction {
			rec.Refused = refusedBy(p.Data)
		}
	case "not_done":
		if rec.Type = check.Fail; p.Code == "idempotency_conflict" {
			rec.Text = string(body[:min(len(body), maxText)])
		}
	default:
		if rec.Type = check.Info; p.Code == "outcome_unknown" {
			rec.Reply = digest([]byte(p.Code + "\n" + p.Detail))
		}
	}
	return rec
}

// reply takes from a reply what the checker needs.
func reply(o *operation, body []byte, rec *check.Record) error {
	if o.kind == check.OpTransaction {
		return transactionReply(body, rec)
	}
	var r struct {
		Cents   *int64 `json:"cents"`
		Receipt string `json:"receipt"`
		State   *struct {
			Cents int64 `json:"cents"`
		} `json:"state"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	switch {
	case o.kind == check.OpEffect && r.Receipt != "":
		rec.Receipt = r.Receipt
	case o.kind == check.OpRead && r.State != nil:
		rec.Balance, rec.Reply = &r.State.Cents, ""
	case o.kind != check.OpEffect && o.kind != check.OpRead && r.Cents != nil:
		rec.Balance = r.Cents
	default:
		return errors.New("the reply has not what it should")
	}
	return nil
}

// digest is the hash of a reply, without a line end that is the transport's: a
// batch has the same reply without one.
func digest(b []byte) string {
	sum := sha256.Sum256(bytes.TrimSpace(b))
	return hex.EncodeToString(sum[:16])
}

// final says that an answer decides about the key.
func final(r *check.Record) bool {
	return r.Type == check.OK || r.Type == check.Fail && r.Kind == "rejected" || r.Type == check.Info && r.Code == "outcome_unknown"
}

// busy says that this request was refused, and that the next one may not be.
func busy(r *check.Record) bool {
	switch r.Code {
	case "overloaded", "canceled", "closed", "store_unavailable", "storage_full":
		return r.Type == check.Fail
	}
	return false
}
