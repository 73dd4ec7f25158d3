package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/torture/check"
)

// errNotAgain is in the manifest word for word: the checker knows it.
var errNotAgain = errors.New(check.FailedRestart)

var errStalled = fmt.Errorf("nothing was played for %v; the machine may be too busy, or the server refuses everything", stalled)

// The files of a run, besides those of package check.
const (
	dataDir    = "data"
	configFile = "semel.yaml"
	logFile    = "processes.log"
)

// stage is a run.
type stage struct {
	opt       Options
	run       string // its id, random, in every request
	epoch     int64
	began     time.Time
	loaded    bool // something was sent: there is a history
	log       *os.File
	rec       *recorder // of the conductor: faults, and what the operator did
	files     []string
	parts     []*part
	nodes     []*keeper // one server, or the nodes of a cluster
	ledgerURL string
	ledger    *part
	proxy     *part
	clients   []*part
	tally     *tally
}

// Run plays a torture and writes its history into the directory; package check
// judges it. An error means that it could not be played to its end, which is no
// verdict; what was played until then can be judged all the same, unless it says
// that there is no history. No process is left when it returns.
func Run(ctx context.Context, o Options) (history bool, err error) {
	if o.Token == "" && o.Target == "" {
		o.Token = server.NewToken()
	}
	if o.Policies == nil && o.Target == "" {
		o.Policies = AllPolicies()
	}
	s := &stage{opt: o, began: time.Now(), tally: newTally()}
	s.epoch = s.began.UnixNano()
	s.run = fmt.Sprintf("t%016x", rand.Uint64())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.log, err = os.Create(filepath.Join(o.Dir, logFile)); err != nil {
		return false, err
	}
	defer s.log.Close()
	if s.rec, err = newRecorder(s.file("conductor.jsonl"), s.epoch); err != nil {
		return false, err
	}
	err = s.raise(ctx, cancel)
	if err == nil {
		err = s.play(ctx)
	}
	err = s.end(err)
	return s.loaded, err
}

// raise starts everything.
func (s *stage) raise(ctx context.Context, cancel context.CancelCauseFunc) error {
	var err error
	addr := s.opt.LedgerAddr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	s.ledger, err = s.startPart(ctx, partLedger, ledgerConfig{File: s.file("ledger.jsonl"), Epoch: s.epoch, Addr: addr, Run: s.run}, nil)
	if err != nil {
		return err
	}
	s.ledgerURL = s.ledger.First
	if err := s.raiseServers(ctx); err != nil {
		return err
	}
	s.proxy, err = s.startPart(ctx, partProxy, proxyConfig{s.file("proxy.jsonl"), s.epoch, s.urls(), s.opt.Seed, s.opt.LostReplies}, func(string) { s.tally.say("calm") })
	if err != nil {
		return err
	}
	const callersEach = 16
	processes := min(4, (s.opt.Clients+callersEach-1)/callersEach)
	for i := range processes {
		config := loaderConfig{
			File: s.file(fmt.Sprintf("client-%d.jsonl", i)), Epoch: s.epoch, URL: s.proxy.First, Token: s.opt.Token, Run: s.run, Seed: s.opt.Seed,
			Number: i, Callers: (s.opt.Clients + i) / processes, Clients: s.opt.Clients, Policies: s.opt.Policies, Duplicates: s.opt.Duplicates, Bank: s.opt.Transactions, Timeout: s.bankTimeout(),
		}
		p, err := s.startPart(ctx, partClient, config, func(line string) { s.tally.hear(i, line) })
		if err != nil {
			return err
		}
		s.clients = append(s.clients, p)
	}
	for _, p := range s.parts {
		go func() { // none of them may end before it is told to
			<-p.Ended
			cancel(fmt.Errorf("the %s ended by itself (%v); see %s", p.role, p.Cmd.ProcessState, s.log.Name()))
		}()
	}
	return nil
}

// raiseServers starts the server, or each node of a cluster.
func (s *stage) raiseServers(ctx context.Context) error {
	if s.opt.Target != "" {
		s.nodes = []*keeper{{url: strings.TrimRight(s.opt.Target, "/"), token: s.opt.Token, log: s.log, killWith: s.opt.KillWith, killTime: startTime}}
		return s.startServer(ctx, s.nodes[0])
	}
	config := filepath.Join(s.opt.Dir, configFile)
	if err := s.writeConfig(config); err != nil {
		return err
	}
	words := s.opt.Exec
	if len(words) == 0 {
		line := DefaultExec
		if s.opt.Store != "" {
			line = NodeExec
		}
		words = append([]string{s.opt.Binary}, strings.Fields(line)...)
	}
	for i := range max(s.opt.Nodes, 1) {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		fill := strings.NewReplacer("{config}", config, "{data}", filepath.Join(s.opt.Dir, dataDir), "{addr}", addr)
		k := &keeper{number: i + 1, url: "http://" + addr, token: s.opt.Token, log: s.log,
			guard: func(pid int) error { return s.ledger.tell("server", i, pid) }}
		for _, w := range words {
			k.command = append(k.command, fill.Replace(w))
		}
		s.nodes = append(s.nodes, k)
		if err := s.startServer(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) startServer(ctx context.Context, k *keeper) error {
	if err := k.start(ctx); err != nil {
		return fmt.Errorf("the server: %w; see %s", err, s.log.Name())
	}
	return nil
}

func (s *stage) urls() (all []string) {
	for _, k := range s.nodes {
		all = append(all, k.url)
	}
	return all
}

// isCluster says whether several servers share a store.
func (s *stage) isCluster() bool { return len(s.nodes) > 1 }

// play is the run: load and faults, the drain, one more kill, and the last round.
// That it has begun is on the disk before: whoever kills us, or whatever hangs,
// leaves a history.
func (s *stage) play(ctx context.Context) error {
	if err := s.manifest(errUnfinished); err != nil {
		return err
	}
	s.loaded = true
	if err := s.fund(ctx); err != nil {
		return err
	}
	if err := s.tellClients("load"); err != nil {
		return err
	}
	if err := s.torment(ctx); err != nil {
		return err
	}
	s.opt.Progress(0, 0, "the network is calm, doubts are settled, undecided keys are sent again")
	if err := s.proxy.tell("calm"); err != nil {
		return err
	}
	if err := s.tally.await(ctx, "calm", 1); err != nil {
		return err
	}
	o, err := s.newOperator()
	if err != nil {
		return err
	}
	if err := s.drain(ctx, o); err != nil {
		return err
	}
	if s.opt.Kills > 0 { // what is decided must be on the disk
		if err := s.killAll(ctx); err != nil {
			return err
		}
	}
	if err := s.readBank(ctx, o); err != nil {
		return err
	}
	s.opt.Progress(0, 0, "every key is sent once more")
	if err := s.tellClients("again"); err != nil {
		return err
	}
	if err := s.tally.await(ctx, "finished", len(s.clients)); err != nil {
		return err
	}
	if s.hasBank() {
		for n := range bankAccounts {
			if err := o.state(ctx, check.BankAccount(s.run, n)); err != nil {
				return err
			}
		}
	}
	for generation := range s.tally.generation() + 1 {
		for n := range accountsFor(s.opt.Clients) {
			if err := o.state(ctx, accountType+account(s.run, generation, n)); err != nil {
				return err
			}
		}
	}
	return o.look(ctx)
}

// drain has the clients ask for what is undecided while the operator settles
// doubts.
func (s *stage) drain(ctx context.Context, o *operator) error {
	if err := s.tellClients("drain"); err != nil {
		return err
	}
	done := make(chan struct{})
	var settled error
	var operator sync.WaitGroup
	operator.Go(func() { settled = o.settle(ctx, done) })
	err := s.tally.await(ctx, "drained", len(s.clients))
	close(done)
	operator.Wait()
	return errors.Join(err, settled)
}

func (s *stage) tellClients(command string) error {
	for _, c := range s.clients {
		if err := c.tell(command); err != nil {
			return err
		}
	}
	return nil
}

// end stops everything, the server after those that talk to it and before the
// ledger that it talks to, and writes down how it was played.
func (s *stage) end(played error) error {
	err := played
	for _, p := range slices.Backward(s.parts) {
		if p == s.ledger {
			for _, k := range s.nodes {
				err = errors.Join(err, k.stop())
			}
		}
		err = errors.Join(err, p.finish())
	}
	err = errors.Join(err, s.rec.close())
	if s.loaded {
		err = errors.Join(err, s.manifest(err))
	}
	return err
}

// errUnfinished is why a run that is under way is not finished; nobody need say so.
var errUnfinished = errors.New("it is under way")

// manifest says what was played, and what came between if it was not to the end.
// There is a whole one at any time.
func (s *stage) manifest(played error) error {
	m := check.Manifest{
		Version: check.Version, Run: s.run, Seed: s.opt.Seed, Started: s.began.UTC().Format(time.RFC3339),
		Server: strings.Join(s.nodes[0].command, " "), Policies: s.opt.Policies,
		Goal: check.Goal{Operations: s.opt.Operations, Kills: s.opt.Kills, Duplicates: s.opt.Duplicates, LostReplies: s.opt.LostReplies, Transactions: s.opt.Transactions},
	}
	if s.hasBank() {
		m.Bank = &check.Bank{Accounts: bankAccounts, Cents: bankCents, Timeout: int64(s.bankTimeout())}
	}
	switch {
	case played == nil:
		m.Finished, m.Took = true, s.rec.now()
	case errors.Is(played, errUnfinished): // nobody knows how long it will take
	case errors.Is(played, errNotAgain):
		m.Failed, m.Took = check.FailedRestart, s.rec.now()
	default:
		m.Failed, m.Took = played.Error(), s.rec.now()
	}
	if s.opt.Store != "" {
		m.Nodes, m.Lease = s.opt.Nodes, int64(s.opt.Lease)
	}
	if s.opt.Target != "" {
		m.Server = "running already"
	}
	for _, f := range s.files {
		m.Files = append(m.Files, filepath.Base(f))
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(s.opt.Dir, check.ManifestFile)
	if err := os.WriteFile(name+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func (s *stage) describe(played int64, kills int) string {
	what := "kills"
	if s.isCluster() {
		what = "rounds"
	}
	return fmt.Sprintf("%d operations, %d of %d %s", played, kills, s.opt.Kills, what)
}
