package sim

// Path is something that a run must be seen to reach.
type Path uint8

// The paths. What they need is rare in some; a sweep that is long enough must
// have had each of them.
const (
	Embedded Path = iota
	Cluster
	Skewed          // the clocks of nodes began apart
	Killed          // a message killed the process that ran it
	Dead            // a message became a dead letter
	Doubted         // an effect came into doubt
	Contradicted    // a late answer contradicted what was settled
	Late            // a result came back to a later session of its process
	ResolvedProbing // a person settled an effect that was being probed
	TooEarly        // a person's *not done* was refused, as the call might still arrive
	EarlyLook       // ... or as it might have when they looked
	Passed          // a message passed a hold out of its mailbox
	Rushed          // something new came while the unit was full
	FedChanges      // a unit had its row in the change feed
	Forgotten       // a row of the feed went with its generation
	RetentionPaused // a clock leapt and retention stopped
	Backwards       // a shard's clock went back, as nobody had trusted it
	Expired         // a key was refused as too old
	Conflicted      // a key was used with another payload
	Elsewhere       // a node was asked for a shard of another
	TimedOut        // a client gave up waiting
	Reordered       // a message overtook another
	TookClean       // a shard was taken that its owner had given up in order
	TookUnclean     // ... and one that it had not
	SameToken       // an acquire was repeated after its answer was lost
	LeaseLapsed     // a node gave a shard up as it could not renew
	RenewRefused    // a renewal came after the lease was somebody else's
	FencedEpoch     // a commit of a former owner was refused
	FencedVersion   // a commit that does not follow was refused
	FencedTimeline  // ... one of before a failover
	FencedRead      // a read of a former owner was refused
	UnknownDone     // a commit without an answer turned out to be done
	UnknownNot      // ... not to be
	UnknownEver     // ... could not be told, as others had the shard meanwhile
	LossNoticed     // a node remembered a higher version than the store had
	Excused         // an effect or op of which a failover lost what was acknowledged
	JudgedAnew      // such an op had an outcome again
	ZombieCall      // a former owner let a call go after its successor had begun
	LateCall        // ... later than any settling time covers
	Doubled         // an effect happened twice for that reason, as FAULTS 3a says
	ClosedLate      // a probe had closed the key before a former owner called
	KeyedAgain      // the world deduplicated a call by its key
	StreamBroken    // a source's stream ended and it sent again
	ThreeCrashes    // recovery was interrupted three times in a row
	Withheld        // a call was not let go, as the lease was over
	UncalledTaken   // an effect whose start was durable and call never made was called by the next session

	Promised         // an agent promised a step to a transaction
	Kept             // ... and it was committed
	Dropped          // ... or aborted
	PromiseRecovered // what was promised in one session was decided in another
	VoidVote         // an abort came before its prepare had its turn
	ReadTogether     // a transaction read all banks at one moment
	TxTimedOut       // a coordinator's time was over before its last vote
	TxForgotten      // a coordinator ended as all had acknowledged
	PreparedDead     // a prepare became a dead letter
	WithdrawnNotDone // a withdrawn effect was certainly not done
	WithdrawnUnknown // ... may have been
	WithdrawnCalling // ... was under way
	WithdrawnDoubt   // ... and stayed in doubt after its agent had been told

	Drained // everything came to its end
	paths
)

var pathNames = [paths]string{
	"embedded", "cluster", "skewed", "killed", "dead", "doubted", "contradicted", "late", "resolved_probing", "too_early", "early_look", "passed", "rushed",
	"fed_changes", "forgotten", "retention_paused", "backwards", "expired", "conflicted", "elsewhere", "timed_out",
	"reordered", "took_clean", "took_unclean", "same_token", "lease_lapsed", "renew_refused", "fenced_epoch",
	"fenced_version", "fenced_timeline", "fenced_read", "unknown_done", "unknown_not", "unknown_ever", "loss_noticed",
	"excused", "judged_anew", "zombie_call", "late_call", "doubled", "closed_late", "keyed_again", "stream_broken", "three_crashes", "withheld",
	"uncalled_taken", "promised", "kept", "dropped", "promise_recovered", "void_vote", "read_together", "tx_timed_out", "tx_forgotten",
	"prepared_dead", "withdrawn_not_done", "withdrawn_unknown", "withdrawn_calling", "withdrawn_doubt", "drained",
}

// String is the path's name.
func (p Path) String() string { return pathNames[p] }

// Counts are what one run, or a sweep of them, went through.
type Counts struct {
	Events, Steps, Units, Answers, Calls int64
	Paths                                [paths]int64
	Strikes                              [kinds]int64
}

// Add adds another run's.
func (c *Counts) Add(more *Counts) {
	c.Events += more.Events
	c.Steps += more.Steps
	c.Units += more.Units
	c.Answers += more.Answers
	c.Calls += more.Calls
	for i, n := range more.Paths {
		c.Paths[i] += n
	}
	for i, n := range more.Strikes {
		c.Strikes[i] += n
	}
}

// MissingKinds names the kinds of faults that never struck.
func (c *Counts) MissingKinds() (out []string) {
	for k, n := range c.Strikes {
		if n == 0 {
			out = append(out, Kind(k).String())
		}
	}
	return out
}

// MissingPaths names the paths that were never reached.
func (c *Counts) MissingPaths() (out []string) {
	for p, n := range c.Paths {
		if n == 0 {
			out = append(out, Path(p).String())
		}
	}
	return out
}

func (s *Sim) reach(p Path) { s.counts.Paths[p]++ }
