// Package partytest is the suite that all participants of package twopc pass,
// whatever they are: that a branch is kept or dropped once, whatever is lost or
// repeated on the way. A participant's own tests call [Run]; what only it has they
// test beside it.
package partytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Subject is a participant in a place of the test's own. Its work understands
// [Ask].
type Subject struct {
	Participant twopc.Participant
	// Sum is what everybody sees: of all that Ask wrote and that was committed.
	Sum func(t testing.TB) int
	// Cut has the next call of one of "prepare", "commit" and "abort" lose its answer, or,
	// unless it shall reach the participant, the request itself.
	Cut func(call string, reach bool)
	// Tombstones: an Abort has a later Prepare of the branch refused. Otherwise
	// that prepares, and Recover lists it.
	Tombstones bool
}

// Ask is the body of a branch. Its work adds Write to what Sum sees, unless it is 0,
// and then returns what Answer says. Work that writes nothing replies with the sum.
type Ask struct {
	Write  int    `json:"write,omitempty"`
	Refuse string `json:"refuse,omitempty"` // the code of a Rejection, after having written
	Fail   bool   `json:"fail,omitempty"`   // an ordinary error, after having written
}

// Of decodes the body of a branch.
func Of(b twopc.Branch) (a Ask) {
	if err := json.Unmarshal(b.Body, &a); err != nil {
		panic(fmt.Sprintf("partytest: the body %q: %v", b.Body, err))
	}
	return a
}

// Answer is what the work returns in the end.
func (a Ask) Answer() error {
	switch {
	case a.Refuse != "":
		return semel.Reject(a.Refuse, "as it was asked to")
	case a.Fail:
		return errors.New("the work failed, as it was asked to")
	}
	return nil
}

// Branch is a branch of a transaction that is the test's own.
func Branch(t testing.TB, a Ask) twopc.Branch {
	t.Helper()
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return twopc.Branch{Tx: Tx(t), Name: "b1", Body: body}
}

// Prepared are names of what a vote promised.
func Prepared(b twopc.Branch, v twopc.Vote) twopc.Prepared {
	return twopc.Prepared{Tx: b.Tx, Name: b.Name, Handle: v.Handle}
}

// Yes prepares a branch that must be.
func Yes(t testing.TB, p twopc.Participant, b twopc.Branch) twopc.Prepared {
	t.Helper()
	v, err := p.Prepare(t.Context(), b)
	if err != nil || v.ReadOnly {
		t.Fatalf("the vote is %+v, %v", v, err)
	}
	return Prepared(b, v)
}

// Mine is what Recover lists of a transaction.
func Mine(t testing.TB, p twopc.Participant, tx string) (mine []twopc.Prepared) {
	t.Helper()
	all, err := p.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Tx == tx {
			mine = append(mine, one)
		}
	}
	return mine
}

// Refused says whether an error is a Rejection of that code.
func Refused(err error, code string) bool {
	var no *semel.Rejection
	return errors.As(err, &no) && no.Code == code
}

// Until repeats a call as a coordinator does, until it is nil or a Rejection.
func Until(t testing.TB, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := call(ctx)
		var no *semel.Rejection
		if err == nil || errors.As(err, &no) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not end: %v", err)
		}
	}
}
