package mutants

// The engine, which drives the core.
var engineMutants = []Mutant{
	{
		Name:  "engine-acknowledge-before-sync",
		Fault: "callers are answered before the store says that their unit is durable",
		File:  "internal/engine/flight.go",
		Old: `		err := f.pending.Wait()
`,
		New: `		var err error
		go func() { _ = f.pending.Wait() }()
`,
		By: shortly("./internal/engine", "TestNothingLeavesBeforeDurability"),
	},
	{
		Name:  "engine-release-before-durable",
		Fault: "what waits for a unit in flight is let go at once",
		File:  "internal/engine/flight.go",
		Old: `		sh.held.add(h)
		return
	}
	if after > message.Seq(sh.durable.Load()) {`,
		New: `		sh.held.add(h)
		return
	}
	if false {`,
		By: shortly("./internal/engine", "TestNothingLeavesWithItsUnitInFlight"),
	},
	{
		Name:  "engine-unknown-told-as-not-done",
		Fault: "a commit whose answer was lost is told as not done",
		File:  "internal/engine/reopen.go",
		Old: `		refused = refused || definite(f.err)
`,
		New: `		refused = refused || f.err != nil
`,
		By: shortly("./internal/engine", "TestAnotherOwnerPassesOurSequence"),
	},
	{
		Name:  "engine-passed-by-another-owner",
		Fault: "a unit is taken for ours because somebody else's has its number",
		File:  "internal/engine/reopen.go",
		Old: `	lost.alone = lost.alone && v.Epoch == lost.epoch+1
`,
		New: "",
		By:  shortly("./internal/engine", "TestAnotherOwnerPassesOurSequence"),
	},
	{
		Name:  "engine-drain-drops-work",
		Fault: "a loop that stops leaves what it was given and has not committed",
		File:  "internal/engine/close.go",
		Old: `	return sh.stopping && sh.queue.empty() && !m.Busy() && uint64(m.Sealed()) == sh.durable.Load()
`,
		New: `	return sh.stopping || m.Busy()
`,
		By: shortly("./internal/engine", "TestCloseRecordsResults"),
	},
	{
		Name:  "engine-closes-before-results",
		Fault: "the store is closed while an effect that was begun has not returned",
		File:  "internal/engine/close.go",
		Old:   "|| e.jobs.Load() > 0: // in this order",
		New:   ": // in this order",
		By:    shortly("./internal/engine", "TestCloseWaitsForAnEffectUnderWay"),
	},
	{
		Name:  "engine-begins-effects-while-closing",
		Fault: "effects are begun while the engine closes",
		File:  "internal/engine/close.go",
		Old: `	sh.machine.Quiesce()
`,
		New: "",
		By:  shortly("./internal/engine", "TestCloseBeginsNoEffect"),
	},
	{
		Name:  "engine-no-floor",
		Fault: "new work is taken until the device is full",
		File:  "internal/engine/maintain.go",
		Old: `	full := free < e.cfg.FreeFloor
`,
		New: `	full := free == 0
`,
		By: shortly("./internal/engine", "TestFreeSpaceFloor"),
	},
	{
		Name:  "engine-no-bound",
		Fault: "calls are accepted without a bound",
		File:  "internal/engine/call.go",
		Old: `	case i >= fresh:
`,
		New: `	case i < 0:
`,
		By: shortly("./internal/engine", "TestBatchBeyondTheBound"),
	},
	{
		Name:  "engine-panic-is-done",
		Fault: "an effect whose function panicked is told as not done, and called again",
		File:  "internal/engine/effects.go",
		Old: `			r = unknown(fmt.Sprintf("the effect's function panicked: %v", v))
`,
		New: `			r = core.EffectResult{Status: message.StatusNotDone, Detail: fmt.Sprint(v)}
`,
		By: by(".", "TestEffects"),
	},
	{
		Name:  "engine-trials-at-once",
		Fault: "suspects of several shards run at the same time",
		File:  "internal/engine/trial.go",
		Old: `	if e.trial != nil && e.trial != sh {
`,
		New: `	if e.trial != nil && e.trial == sh {
`,
		By: by("./internal/engine", "TestOneSuspectAtATime"),
	},
	{
		Name:  "engine-wall-clock-goes-back",
		Fault: "the engine's time begins at the wall clock, although that went back",
		File:  "internal/engine/clock.go",
		Old: `	c.base = max(message.Time(now.UnixNano()), atLeast)
`,
		New: `	c.base = message.Time(now.UnixNano())
`,
		By: by("./internal/engine", "TestClockNeverGoesBack"),
	},
	{
		Name:  "feed-follower-skips",
		Fault: "who follows the change feed is not told of every second unit",
		File:  "internal/engine/follow.go",
		Old:   "From: core.ChangeKey(p.gen, p.seq+1)}",
		New:   "From: core.ChangeKey(p.gen, p.seq+2)}",
		By:    shortly("./internal/engine", "TestFollow"),
	},
	{
		Name:  "feed-tells-what-may-be-lost",
		Fault: "who follows the change feed is shown states that are not durable",
		File:  "internal/engine/follow.go",
		Old:   "r.shard.durable.Load() < shown; {",
		New:   "shown == 0 && r.shard.durable.Load() < shown; {",
		By:    shortly("./internal/engine", "TestFollowTellsNothingThatMayBeLost"),
	},
	{
		Name:  "feed-position-of-another-store",
		Fault: "a position of a restored or recreated store is believed",
		File:  "internal/engine/feed.go",
		Old: `	s.reset = inc != e.store.Incarnation() || len(places) != len(e.shards)
`,
		New: `	s.reset = len(places) != len(e.shards)
	_ = inc
`,
		By: shortly("./internal/engine", "TestFollowFromElsewhere"),
	},
}
