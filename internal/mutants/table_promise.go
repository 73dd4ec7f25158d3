package mutants

// Promises to transactions, withdrawals of effects, and agents that end, in the
// pure core.
var corePromises = []Mutant{
	{
		Name:  "promise-sends-nothing",
		Fault: "a commit keeps the state that was promised, and sends nothing",
		File:  "internal/core/prepared.go",
		Old:   "	s.step.sends, s.step.timers, s.step.effects = p.sends, p.timers, p.effects\n",
		New:   "	s.step.sends, s.step.timers, s.step.effects = nil, p.timers, p.effects\n",
	},
	{
		Name:  "promise-state-not-kept",
		Fault: "a commit sends what was promised, and leaves the state as it was",
		File:  "internal/core/prepared.go",
		Old:   "	c.state = st\n",
		New:   "",
	},
	{
		Name:  "promise-seen-early",
		Fault: "a step that is only prepared is not undone, so its state is seen before the decision",
		File:  "internal/core/prepared.go",
		Old:   "	if err := c.state.Undo(); err != nil {\n",
		New:   "	if err := error(nil); err != nil {\n",
	},
	{
		Name:  "promise-abort-holds",
		Fault: "an abort forgets the promise and leaves the agent held",
		File:  "internal/core/prepared.go",
		Old: `		s.release(c)
		s.countState`,
		New: `		c.promise, c.changed = nil, true
		s.countState`,
	},
	{
		Name:  "promise-read-only-released",
		Fault: "who votes yes without having changed anything is released before the decision",
		File:  "internal/core/prepared.go",
		Old: `	c.promise, c.changed = appendPromise(nil, p), true
`,
		New: `	if p.readOnly() {
		return &message.Outcome{Status: message.StatusDone, Code: CodeReadOnly, Body: res.Body}
	}
	c.promise, c.changed = appendPromise(nil, p), true
`,
	},
	{
		Name:  "promise-decision-waits",
		Fault: "a decision waits in the mailbox, behind the prepares that wait for it",
		File:  "internal/core/mailbox.go",
		Old:   "	return decides(m) || k.until",
		New:   "	return k.until",
	},
	{
		Name:  "promise-void-forgotten",
		Fault: "an abort that comes before its prepare had its turn is forgotten",
		File:  "internal/core/prepared.go",
		Old:   "		s.avoid(c, b.Tx)\n",
		New:   "",
	},
	{
		Name:  "promise-void-lost",
		Fault: "... is forgotten when the process dies",
		File:  "internal/core/record.go",
		Old:   "			c.void = append(c.void, string(f.bytes))\n",
		New:   "",
		By:    by("./internal/core", "TestAbortOvertakesItsPrepare", "TestCodecGolden"),
	},
	{
		Name:  "promise-void-unbounded",
		Fault: "the names of transactions that were decided too early outgrow the control row",
		File:  "internal/core/void.go",
		Old:   "	if c.sizeVoid()+sizeBytes(len(tx)) > maxVoidBytes {\n",
		New:   "	if false {\n",
		By:    by("./internal/core", "TestVoidIsBounded"),
	},
	{
		Name:  "promise-lost-at-recovery",
		Fault: "what an agent promised is lost when its state is read again",
		File:  "internal/core/cell.go",
		Old:   "		c.exists, c.promise = row.version > 0, clone(row.prepared)\n",
		New:   "		c.exists = row.version > 0\n",
	},
	{
		Name:  "promise-by-a-dead-letter",
		Fault: "a prepare that is taken back from the dead letters while its agent is held is parked, and promises something to a transaction that is over",
		File:  "internal/core/admit.go",
		Old:   "	if env.origin == fromDead && env.msg.Branch != nil && !decides(env.msg) {\n",
		New:   "	if false {\n",
		By:    by("./internal/core", "TestDeadPrepareVotesNo"),
	},
	{
		Name:  "promise-token-passes",
		Fault: "a message with a token that looks like that of a promise passes it",
		File:  "internal/core/mailbox.go",
		Old:   " && m.Token == k.token && !k.promised()\n",
		New:   " && m.Token == k.token\n",
		By:    by("./internal/core", "TestNoTokenPassesAPromise"),
	},
	{
		Name:  "promise-no-unmeasured",
		Fault: "a no is not measured, and one that is too large stops the shard",
		File:  "internal/core/prepared.go",
		Old:   "	if res.Verdict == Replied || res.Verdict == Refused {\n",
		New:   "	if res.Verdict == Replied {\n",
		By:    by("./internal/core", "TestVotesOfAnySize"),
	},
	{
		Name:  "promise-kept-uncounted",
		Fault: "a state that another program makes larger is not counted when its promise is kept",
		File:  "internal/core/prepared.go",
		Old: `	s.countState(c, size, size)
	s.step.sends`,
		New: `	size = c.size
	s.step.sends`,
		By: by("./internal/core", "TestPromiseKeptByAProgramWithLargerStates"),
	},
	{
		Name:  "promise-abort-changes-the-schema",
		Fault: "an abort by a program without the agent's type writes its state as one of schema 0",
		File:  "internal/core/cell.go",
		Old:   "		row.schema = o.schema\n",
		New:   "		_ = o\n",
		By:    by("./internal/core", "TestAbortWithoutTheType"),
	},
	{
		Name:  "promise-decision-parked",
		Fault: "a decision of an agent that cannot be read waits behind all that waits for it",
		File:  "internal/core/mailbox.go",
		Old:   "; decides(env.msg) && s.roomToRetry(c, r) {\n",
		New:   "; false && s.roomToRetry(c, r) {\n",
		By:    by("./internal/core", "TestDecisionOfAnAgentThatCannotBeRead"),
	},
	{
		Name:  "forget-stays",
		Fault: "an agent that ends with its step is there afterwards",
		File:  "internal/core/run.go",
		Old: `	if s.step.ends {
		if err := s.end(c); err != nil {`,
		New: `	if s.step.ends {
		if err := error(nil); err != nil {`,
	},
	{
		Name:  "withdrawn-called-after-not-done",
		Fault: "a withdrawn effect is called again when the call under way was not done",
		File:  "internal/core/effect.go",
		Old: `	if e.withdrawn {
		if !e.mem.maybe {`,
		New: `	if e.withdrawn && e.mem.maybe {
		if !e.mem.maybe {`,
	},
	{
		Name:  "withdrawn-called-on-a-word",
		Fault: "a withdrawn effect is called again when a person says that it was not done",
		File:  "internal/core/resolve.go",
		Old:   "	if r.Status != message.StatusNotDone || e.withdrawn {\n",
		New:   "	if r.Status != message.StatusNotDone {\n",
	},
	{
		Name:  "withdrawn-called-on-a-probe",
		Fault: "a withdrawn effect is called again when a probe finds that it was not done",
		File:  "internal/core/effect.go",
		Old: `	if e.withdrawn {
		s.settleEffect(e, EffectResult{ID: e.id, Status: message.StatusNotDone, Code: CodeWithdrawn,`,
		New: `	if false {
		s.settleEffect(e, EffectResult{ID: e.id, Status: message.StatusNotDone, Code: CodeWithdrawn,`,
	},
	{
		Name:  "withdrawn-called-after-crash",
		Fault: "a withdrawn effect is called again by the next session",
		File:  "internal/core/effect_recover.go",
		Old:   "	case e.withdrawn:\n",
		New:   "	case e.withdrawn && e.status == effectDoubt:\n",
	},
	{
		Name:  "withdrawn-called-by-another-program",
		Fault: "a withdrawn effect that nobody waits for is called again by a program that declares another policy",
		File:  "internal/core/withdraw.go",
		Old:   "	if e.then == \"\" && e.status == effectDoubt {\n",
		New:   "	if e.then == \"\" {\n",
		By:    by("./internal/core", "TestWithdrawnEffectThatNobodyWaitsFor"),
	},
	{
		Name:  "withdrawn-not-recorded",
		Fault: "a withdrawal is not recorded while a call is under way, or its answer",
		File:  "internal/core/withdraw.go",
		Old: `		s.putEffect(e)
		return
	}
	s.endWithdrawn(e)
}
`,
		New: `		return
	}
	s.endWithdrawn(e)
}
`,
	},
	{
		Name:  "withdrawn-told-twice",
		Fault: "the agent of a withdrawn effect is told again when its doubt is settled",
		File:  "internal/core/withdraw.go",
		Old:   "	e.then, e.link = \"\", message.Link{}\n",
		New:   "",
	},
	{
		Name:  "withdrawn-told-never",
		Fault: "the agent of a withdrawn effect is not told that it may have happened",
		File:  "internal/core/withdraw.go",
		Old:   "	s.answerWithdrawn(e, message.StatusUnknown,",
		New:   "	s.answerWithdrawn(&effectRecord{}, message.StatusUnknown,",
	},
	{
		Name:  "withdrawn-told-not-done",
		Fault: "the agent of a withdrawn effect is told that it was not done, and nobody knows",
		File:  "internal/core/withdraw.go",
		Old:   "	return e.status != effectAsked || ",
		New:   "	return ",
	},
	{
		Name:  "withdrawn-doubt-shown-for-ever",
		Fault: "who waits is shown a doubt for ever that is over, because the session that withdrew ended too early",
		File:  "internal/core/consume.go",
		Old:   "a.Code == CodeWithdrawn && len(env.rows) > 0 {\n",
		New:   "a.Code == CodeWithdrawn && false {\n",
		By:    by("./internal/core", "TestWaitingForAWithdrawnDoubt"),
	},
	{
		Name:  "withdrawn-probed-no-more",
		Fault: "nobody probes an effect that is in doubt when it was withdrawn",
		File:  "internal/core/withdraw.go",
		Old:   "		s.enqueue(e) // the probe goes on\n",
		New:   "",
		By:    by("./internal/core", "TestProbeOfAWithdrawnEffectGoesOn"),
	},
}
