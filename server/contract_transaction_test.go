package server_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/twopc"
)

// rich is a server on which anna of tenant a and carl of b have a hundred cents.
func rich(t *testing.T, opts server.Options) *site {
	t.Helper()
	opts.Auth = twoTenants
	s := serve(t, semel.Config{}, opts, nil)
	for _, who := range []string{"anna", "carl"} {
		same(t, "opening", s.as(who, "POST", "/v1/agents/account/from/open", `{"cents":100}`, "Idempotency-Key", "open").status, 200)
	}
	return s
}

func (s *site) transact(who, key, body string, headers ...string) response {
	s.t.Helper()
	return s.as(who, "POST", "/v1/transactions", body, append([]string{"Idempotency-Key", key, "Content-Type", "application/json"}, headers...)...)
}

// contractTransact: both or none, once per key.
func contractTransact(t *testing.T, c *contract) {
	s := rich(t, server.Options{})
	first := s.transact("anna", `"k 1"`, transfer("from", "to", 30))
	res := get[twopc.Result](t, first, 200)
	same(t, "the replies", fmt.Sprintf("%s", res.Replies), `[{"cents":70} {"cents":30}]`)
	same(t, "the key", first.header.Get("Idempotency-Key"), `"k 1"`)
	same(t, "at first", first.header.Get("Idempotent-Replayed"), "")
	for _, again := range []response{
		s.transact("anna", "k 1", strings.ReplaceAll(transfer("from", "to", 30), ":", ": ")),
		s.transact("anna", "k 1", transfer("from", "to", 30), "Prefer", "respond-async"),
	} {
		same(t, "again", fmt.Sprint(again.status, again.body, again.header.Get("Idempotent-Replayed")), "200"+first.body+"true")
	}
	c.want(t, s.transact("anna", "k 1", transfer("from", "to", 31)), 422, "idempotency_conflict", "not_done")
	c.want(t, s.transact("anna", "k 1", strings.Replace(transfer("from", "to", 30), "{", `{"timeout":"20s",`, 1)), 422, "idempotency_conflict", "not_done")

	// The no of one is the no of all, with who said it.
	no := s.transact("anna", "no", transfer("from", "to", 1000))
	c.want(t, no, 422, "insufficient_funds", "rejected")
	var told struct{ Data twopc.Refused }
	if err := json.Unmarshal([]byte(no.body), &told); err != nil || told.Data.At != "account/from" || told.Data.Branch != "1" || told.Data.Tx == "" {
		t.Errorf("%s, %v", no.body, err)
	}
	again := s.transact("anna", "no", transfer("from", "to", 1000))
	same(t, "no again", fmt.Sprint(again.status, again.body, again.header.Get("Idempotent-Replayed")), "422"+no.body+"true")
	same(t, "from", s.cents(t, "anna", "from"), 70)
	same(t, "to", s.cents(t, "anna", "to"), 30)

	// Nobody waits for what is only accepted, and where it says its outcome is, it is.
	body := transfer("from", "to", 5)
	accepted := s.transact("anna", "async", body, "Prefer", "respond-async")
	if where := accepted.header.Get("Location"); accepted.status == 202 { // or it was decided already
		s.until(`"in_flight"`, func() response { return s.as("anna", "GET", where, "") })
		same(t, "its outcome", get[struct{ Status string }](t, s.as("anna", "GET", where, ""), 200).Status, "done")
	}
	same(t, "the wait that was honoured", s.transact("anna", "async", body, "Prefer", "wait=7").header.Get("Preference-Applied"), "wait=7")
	same(t, "from", s.cents(t, "anna", "from"), 65)
}

// contractTransactBad: what is refused is not recorded, and says what is wrong.
func contractTransactBad(t *testing.T, c *contract) {
	s := rich(t, server.Options{MaxBody: 10_000})
	one := func(participant string) string { return `{"participants":[` + participant + `]}` }
	debit := `{"agent":"account/from","action":"debit","body":{"cents":1}}`
	for _, bad := range []struct {
		body   string
		status int
		code   string
		detail string
	}{
		{"", 400, "invalid_request", ""},
		{"[]", 400, "invalid_request", "not what this path takes"},
		{"{}", 400, "invalid_request", "participant"},
		{`{"participants":[]}`, 400, "invalid_request", "participant"},
		{`{"Participants":[` + debit + `]}`, 400, "invalid_request", `no member "Participants"`},
		{one(`{}`), 400, "invalid_request", "participants[0]: a participant has an agent and an action"},
		{one(debit + `,{"agent":"account","action":"debit"}`), 400, "invalid_request", `participants[1]: agent is "account"; write it as type/id`},
		{one(`{"agent":"account/from"}`), 400, "invalid_request", "participants[0]"},
		{one(`{"agent":"account/","action":"debit"}`), 400, "invalid_request", ""},
		{one(`{"agent":"account/from","action":"debit","participant":"db"}`), 400, "invalid_request", "participants[0]"},
		{one(`{"participant":"db"}`), 400, "invalid_request", `no participant "db"`},
		{one(debit + "," + debit), 400, "invalid_request", "account/from"},
		{one(debit + `,{"agent":"transaction/x","action":"resolve"}`), 400, "invalid_request", "take no part"},
		{one(`{"agent":"saga.deal/x","action":"settle"}`), 400, "invalid_request", "take no part"},
		{one(debit + `,{"agent":"nothing/x","action":"debit"}`), 404, "unknown_agent_type", "participants[1]"},
		{one(debit + `,{"agent":"account/x","action":"steal"}`), 404, "unknown_action", "participants[1]"},
		{`{"timeout":"soon","participants":[` + debit + `]}`, 400, "invalid_request", `timeout is "soon"; write it as in 30s`},
		{`{"timeout":"-1s","participants":[` + debit + `]}`, 400, "invalid_request", "timeout"},
		{`{"timeout":"48h","participants":[` + debit + `]}`, 400, "invalid_request", ""},
		{`{"timeout":"1ns","participants":[` + debit + `]}`, 400, "invalid_request", ""},
		{one(debit + strings.Repeat(" ", 10_000)), 413, "too_large", ""},
	} {
		r := s.transact("anna", "bad", bad.body)
		c.want(t, r, bad.status, bad.code, "not_done")
		if !strings.Contains(r.body, strings.ReplaceAll(bad.detail, `"`, `\"`)) {
			t.Errorf("%.100s: %s\nwant %s", bad.body, r.body, bad.detail)
		}
	}
	c.want(t, s.as("anna", "POST", "/v1/transactions", one(debit), "Idempotency-Key", "bad", "Content-Type", "text/plain"), 415, "unsupported_media_type", "not_done")
	c.want(t, s.as("anna", "POST", "/v1/transactions", one(debit)), 400, "idempotency_key_required", "not_done")
	c.want(t, s.transact("anna", `"bad`, one(debit)), 400, "idempotency_key_invalid", "not_done")
	same(t, "nothing was recorded under the key", s.transact("anna", "bad", one(debit)).status, 200)
	same(t, "from", s.cents(t, "anna", "from"), 99)
}

// contractTransactions: who sees what of transactions.
func contractTransactions(t *testing.T, c *contract) {
	s := rich(t, server.Options{})
	s.transact("anna", "k", transfer("from", "to", 30))
	s.transact("anna", "no", transfer("from", "to", 1000))
	s.transact("ben", "k", transfer("from", "to", 1))
	s.transact("carl", "k", transfer("from", "to", 2))
	type page struct {
		Transactions []twopc.Info
		Next         string
	}
	list := func(who, query string) page {
		t.Helper()
		return get[page](t, s.as(who, "GET", "/v1/transactions"+query, ""), 200)
	}
	same(t, "anna's tenant's", len(list("anna", "").Transactions), 3)
	same(t, "carl's", len(list("carl", "").Transactions), 1)
	same(t, "committed", len(list("anna", "?state=committed").Transactions), 2)
	same(t, "aborted", len(list("anna", "?state=aborted").Transactions), 1)
	same(t, "undecided", len(list("anna", "?state=undecided").Transactions), 0)
	walk(t, s, "/v1/transactions?", 1, 3)
	for _, query := range []string{"?limit=0", "?cursor=!", "?state=x", "?state=presumed"} {
		c.want(t, s.as("anna", "GET", "/v1/transactions"+query, ""), 400, "invalid_request", "not_done")
	}
	c.want(t, s.as("ben", "GET", "/v1/transactions", ""), 403, "forbidden", "not_done")

	// By its key: one's own, and with the role read the others' of the tenant.
	mine := list("anna", "?key=k").Transactions[0]
	bens := list("ben", "?key=k").Transactions[0]
	carls := list("carl", "?key=k").Transactions[0]
	same(t, "ben's, for anna", list("anna", "?key=k&principal=ben").Transactions[0].Tx, bens.Tx)
	if mine.Tx == bens.Tx || mine.Tx == carls.Tx || bens.Tx == carls.Tx || mine.State != twopc.Committed || len(mine.Branches) != 2 {
		t.Errorf("%+v %+v %+v", mine, bens, carls)
	}
	c.want(t, s.as("ben", "GET", "/v1/transactions?key=k&principal=anna", ""), 403, "forbidden", "not_done")
	c.want(t, s.as("anna", "GET", "/v1/transactions?key=k&principal=carl", ""), 404, "unknown_transaction", "not_done")
	c.want(t, s.as("anna", "GET", "/v1/transactions?key=none", ""), 404, "unknown_transaction", "not_done")
	c.want(t, s.as("anna", "GET", "/v1/transactions?key=", ""), 400, "idempotency_key_invalid", "not_done")
	c.want(t, s.as("anna", "GET", "/v1/transactions?principal=ben", ""), 400, "idempotency_key_invalid", "not_done")

	// By its name. Another tenant's is as if it had never been.
	same(t, "ben reads his", get[twopc.Info](t, s.as("ben", "GET", "/v1/transactions/"+bens.Tx, ""), 200).Tx, bens.Tx)
	same(t, "anna reads ben's", get[twopc.Info](t, s.as("anna", "GET", "/v1/transactions/"+bens.Tx, ""), 200).Tx, bens.Tx)
	c.want(t, s.as("ben", "GET", "/v1/transactions/"+mine.Tx, ""), 404, "unknown_transaction", "not_done")
	never := carls.Tx[:len(carls.Tx)-7] + "aaaaaaa" // of carl's tenant, too
	for _, what := range []string{"", "/decision?branch=1", "/resolve"} {
		method, body := "GET", ""
		if what == "/resolve" {
			method, body = "POST", `{"branch":"1","why":"w"}`
		}
		var answers []string
		for _, tx := range []string{carls.Tx, never, "x", mine.Tx[:len(mine.Tx)-1]} {
			r := s.as("anna", method, "/v1/transactions/"+tx+what, body)
			c.want(t, r, 404, "unknown_transaction", "not_done")
			answers = append(answers, strings.ReplaceAll(r.body, tx, "TX"))
		}
		for _, a := range answers {
			same(t, what, a, answers[0])
		}
	}
	same(t, "nothing happened to carl's", get[twopc.Info](t, s.as("carl", "GET", "/v1/transactions/"+carls.Tx, ""), 200).State, twopc.Committed)
	c.want(t, s.as("carl", "GET", "/v1/transactions/"+never, ""), 404, "unknown_transaction", "not_done")
}

// The whole server's operator sees what participants have prepared.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	r := s.do("POST", "/v1/participants/sweep", "", "Prefer", "wait=5")
	if r.status != 200 || r.header.Get("Preference-Applied") != "wait=5" || !strings.Contains(r.body, `{"prepared":[{"participant":"stubborn","tx":"of-somebody-else","branch":"1","resolved":false`) {
		t.Errorf("%+v", r)
	}
}

// contractSettleBranch: what is refused, and the question of a participant.
func contractSettleBranch(t *testing.T, c *contract) {
	s := rich(t, server.Options{})
	tx := get[twopc.Result](t, s.transact("anna", "k", transfer("from", "to", 30)), 200).Tx
	path := "/v1/transactions/" + tx
	decision := func(query string) string {
		t.Helper()
		return get[struct{ Decision string }](t, s.as("anna", "GET", path+"/decision"+query, ""), 200).Decision
	}
	same(t, "work that is no participant's", decision("?branch=7&handle=h"), "abort")
	same(t, "an agent's", decision("?branch=1"), "abort") // agents do not ask
	for body, code := range map[string]string{
		`{"branch":"1","why":"w"}`: "not_needed", `{"branch":"9","why":"w"}`: "unknown_branch", `{"branch":"1","why":""}`: twopc.CodeInvalid,
	} {
		c.want(t, s.as("anna", "POST", path+"/resolve", body), 422, code, "rejected")
	}
	for _, body := range []string{"", "[]", `{"branch":1}`, `{"branch":"1","why":"w","who":"carl"}`} {
		c.want(t, s.as("anna", "POST", path+"/resolve", body), 400, "invalid_request", "not_done")
	}
	// One that never acknowledges is in doubt, until somebody has dealt with it.
	body := `{"participants":[{"agent":"account/from","action":"debit","body":{"cents":1}},{"participant":"stubborn","body":{"n":1}}]}`
	doubt := get[twopc.Result](t, s.transact("anna", "doubt", body), 200)
	same(t, "its reply", string(doubt.Replies[1]), `{"n":1}`)
	state := func() string { return s.as("anna", "GET", "/v1/transactions?state=in_doubt", "").body }
	if in := state(); !strings.Contains(in, doubt.Tx) || strings.Contains(in, tx) {
		t.Errorf("in doubt is %s", in)
	}
	resolve := func(why string) response {
		return s.as("anna", "POST", "/v1/transactions/"+doubt.Tx+"/resolve", `{"branch":"2","why":"`+why+`"}`)
	}
	same(t, "resolved", resolve("it is gone").status, 204)
	same(t, "again", resolve("it is gone").status, 204)
	c.want(t, resolve("something else"), 422, "not_needed", "rejected")
	settled := get[twopc.Info](t, s.as("anna", "GET", "/v1/transactions/"+doubt.Tx, ""), 200)
	if r := settled.Branches[1].Resolved; r == nil || r.Who != "anna" || r.Why != "it is gone" {
		t.Errorf("%+v", settled)
	}
	s.until(doubt.Tx, func() response { return s.as("anna", "GET", "/v1/transactions?state=in_doubt", "") })
	no := s.transact("anna", "no", strings.Replace(body, `{"n":1}`, `"no"`, 1))
	c.want(t, no, 422, "never", "rejected")
	c.want(t, s.as("ben", "POST", path+"/resolve", `{"branch":"1","why":"w"}`), 403, "forbidden", "not_done")
	c.want(t, s.as("anna", "POST", "/v1/participants/sweep", ""), 403, "forbidden", "not_done") // it is about all tenants

	// What routes have of their own is not called by the agents' actions: they
	// believe whoever calls them.
	parts := strings.Split(tx, "-")
	for _, p := range []string{"transaction/" + parts[1] + "-" + parts[2], "transaction-tenant/x", "saga.deal/x"} {
		for _, action := range []string{"resolve", "inquire", "settle", "add", "none"} {
			c.want(t, s.as("anna", "POST", "/v1/agents/"+p+"/"+action, "{}", "Idempotency-Key", "k"), 403, "forbidden", "not_done")
			c.want(t, s.as("anna", "POST", "/v1/calls", fmt.Sprintf(`{"agent":%q,"action":%q}`, p, action)), 403, "forbidden", "not_done")
		}
		c.want(t, s.as("anna", "DELETE", "/v1/agents/"+p, ""), 403, "forbidden", "not_done")
	}
	where := "/v1/outcomes/transaction/" + parts[1] + "-" + parts[2] + "?key=" + url.QueryEscape("k")
	same(t, "the outcome", get[struct{ Status string }](t, s.as("anna", "GET", where, ""), 200).Status, "done")
}
