package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel/server"
)

// contract collects the codes that were answered, so that the suite proves of
// each that it can be reached, with the status and the kind of
// docs/reference/http.md.
type contract struct {
	mu   sync.Mutex
	seen map[string]bool
}

// want checks that a response is a problem document with the code.
func (c *contract) want(t *testing.T, r response, status int, code, kind string) {
	t.Helper()
	wantProblem(t, r, status, code, kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[code] = true
}

// neverOverHTTP are the codes that a status is chosen for, and that no request
// can get.
var neverOverHTTP = []string{
	"reply_misfit", // of a typed call of the library: HTTP passes a recorded reply on as it is
	"elsewhere",    // what nodes say to each other: the one that was asked goes on asking
}

// The contract, route by route and code by code, each part with a server of its
// own.
func TestContract(t *testing.T) {
	t.Parallel()
	c := &contract{seen: make(map[string]bool)}
	for name, part := range map[string]func(*testing.T, *contract){
		"refusals": contractRefusals, "keys": contractKeys, "object form": contractObjectForm, "batch": contractBatch,
		"prefer": contractPrefer, "outcomes": contractOutcomes, "principals": contractPrincipals,
		"pages": contractPages, "cursors": contractCursors, "delete": contractDelete, "doubts": contractDoubts,
		"resolutions": contractResolutions, "dead letters": contractDead, "effects": contractEffects, "backups": contractBackups,
		"overload": contractOverload, "full": contractFull, "store": contractStore, "closed": contractClosed,
		"roles": contractRoles, "revoked": contractRevoked,
		"transact": contractTransact, "bad transactions": contractTransactBad, "transactions": contractTransactions, "branches": contractSettleBranch,
		"sagas": contractSagas, "start of sagas": contractStartSaga, "parked sagas": contractParked,
	} {
		t.Run(name, func(t *testing.T) { part(t, c) })
	}
	if t.Failed() {
		return // what was not seen may be what failed
	}
	codes := server.Codes()
	for _, code := range codes {
		if c.seen[code] == slices.Contains(neverOverHTTP, code) {
			t.Errorf("code %q: seen is %v", code, c.seen[code])
		}
	}
}

// get reads a document.
func get[T any](t testing.TB, r response, status int) (doc T) {
	t.Helper()
	if r.status != status || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %s, not %d with a document", r.status, r.header.Get("Content-Type"), r.body, status)
	}
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return doc
}

// same fails if two values are not printed alike.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s is %s, not %s", what, g, w)
	}
}

// until repeats a request as long as its answer has a text.
func (s *site) until(gone string, ask func() response) (r response) {
	s.t.Helper()
	for range 10_000 {
		if r = ask(); !strings.Contains(r.body, gone) {
			return r
		}
	}
	s.t.Fatalf("still %s", r.body)
	return r
}
