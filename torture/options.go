package torture

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// Options say what is played.
type Options struct {
	Binary string // semel: the clients, the proxy and the ledger are run by it
	Dir    string // for everything that is written; it exists and is empty

	// Exec is the command that serves, in words; {config}, {data} and {addr} in
	// them stand for a configuration, a directory and an address. None is this
	// binary.
	Exec []string
	// Target is the URL of a server that runs already, and KillWith the shell
	// command that kills it and starts it again. Without one it is not killed.
	Target, KillWith string
	// Store is the URL of a PostgreSQL database that the servers share, of which
	// there are Nodes; in it the run has a schema of its own. Lease is when a node
	// that is not heard of loses its shards.
	Store string
	Nodes int
	Lease time.Duration
	// Midway is a shell command that is run once, when half of the faults are over.
	Midway string
	// Token is sent to a target; a server that is started gets one that is made,
	// unless there is one here.
	Token string
	// LedgerAddr is where the outside world listens; a free port if it is empty.
	LedgerAddr string

	Operations int           // at least so many keys
	Kills      int           // so many times SIGKILL; of a cluster, so many rounds of faults
	Duration   time.Duration // at least so long
	Clients    int           // that send at once
	Seed       uint64
	// In percent: operations that are sent in duplicate, and requests whose
	// replies are lost.
	Duplicates, LostReplies float64
	// In percent: operations that are transactions among the accounts of a bank. The
	// server must have /v1/transactions.
	Transactions float64
	// Policies of the effects that are called: what a target has configured, all
	// of a server that is started.
	Policies []string

	// Progress is told how far it is, now and then.
	Progress func(done, total int, what string)
}

// AllPolicies are those that a server can be tortured with.
func AllPolicies() []string { return []string{check.Keyed, check.Probe, check.AtMostOnce, check.Ask} }

// DefaultExec is the command that is run if none is given, after the binary.
const DefaultExec = "serve --config {config} --data {data} --listen {addr}"

// NodeExec is that of a node of a cluster.
const NodeExec = "serve --config {config} --listen {addr}"

const (
	maxNodes      = 9
	longestLease  = 10 * time.Second // the checker knows how late a call of a node that was paused may come
	maxOperations = 10_000_000
	maxClients    = 4096
)

// Check says what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case o.Operations < 1 || o.Operations > maxOperations:
		return fmt.Errorf("--operations %d: between 1 and %d", o.Operations, maxOperations)
	case o.Kills < 0 || o.Kills > o.Operations:
		return fmt.Errorf("--kills %d: between 0 and the operations", o.Kills)
	case o.Clients < 1 || o.Clients > maxClients:
		return fmt.Errorf("--clients %d: between 1 and %d", o.Clients, maxClients)
	case o.Duplicates < 0 || o.Duplicates > 100:
		return errors.New("--duplicates: between 0% and 100%")
	case o.LostReplies < 0 || o.LostReplies > 90:
		return errors.New("--lost-replies: between 0% and 90%; with more nothing gets done")
	case o.Transactions < 0 || o.Transactions > 100:
		return errors.New("--transactions: between 0% and 100%")
	case o.Duration < 0:
		return errors.New("--duration: it must not be negative")
	case len(o.Exec) > 0 && o.Target != "":
		return errors.New("--exec and --target exclude each other: a server is started, or it runs already")
	case o.Store != "" && o.Target != "":
		return errors.New("--store and --target exclude each other: the nodes are started, or they run already")
	case o.Store == "" && o.Nodes > 1:
		return errors.New("--nodes: several servers need a --store that they share")
	case o.Store != "" && (o.Nodes < 2 || o.Nodes > maxNodes):
		return fmt.Errorf("--nodes %d: between 2 and %d", o.Nodes, maxNodes)
	case o.Store != "" && (o.Lease < 500*time.Millisecond || o.Lease > longestLease):
		return fmt.Errorf("--lease %v: between 500ms and %v", o.Lease, longestLease)
	case o.Target == "" && o.KillWith != "":
		return errors.New("--kill-with is for a --target; a server that is started is killed without it")
	case o.Target != "" && o.KillWith == "" && o.Kills > 0:
		return errors.New("--kills: a --target is not killed unless --kill-with says how")
	}
	for _, p := range o.Policies {
		if !strings.Contains(" "+strings.Join(AllPolicies(), " ")+" ", " "+p+" ") {
			return fmt.Errorf("--effects %s: the policies are %s", p, strings.Join(AllPolicies(), ", "))
		}
	}
	return nil
}
