package mutants

// Messages, their outcomes and their order, in the pure core.
var coreMessages = []Mutant{
	{
		Name:  "core-answer-before-durable",
		Fault: "a reply leaves before its unit is durable",
		File:  "internal/core/run.go",
		Old: `	after := s.latest()
	if guarantee == message.AtMostOnce {`,
		New: `	after := s.durable
	if guarantee == message.AtMostOnce {`,
	},
	{
		Name:  "core-replay-before-durable",
		Fault: "a repetition is answered from an outcome that is not durable yet",
		File:  "internal/core/submit.go",
		Old: `		s.answer(c, after, Answer{Outcome: o, Replayed: true})
	}
	env.callers = nil
	s.finish(env)
}

// refuseByTime`,
		New: `		s.answer(c, 0, Answer{Outcome: o, Replayed: true})
	}
	env.callers = nil
	s.finish(env)
}

// refuseByTime`,
	},
	{
		Name:  "core-outcome-after-reply",
		Fault: "the outcome is recorded in the unit after the one that lets the reply go",
		File:  "internal/core/run.go",
		Old: `		s.recordOutcome(key, o)
	}
	if m.Source != "" && !env.accepted() {`,
		New: `		later := append([]byte(nil), key...)
		s.postponed = append(s.postponed, func() { s.recordOutcome(later, o) })
	}
	if m.Source != "" && !env.accepted() {`,
	},
	{
		Name:  "core-cursor-outside-unit",
		Fault: "the cursor moves in the unit after the one that has the step",
		File:  "internal/core/unit.go",
		Old: `	for _, src := range u.cursors {
		src.moved = false
		key := s.key(src.key)
		s.writeCounted(message.TableCursor, 0, message.Put, key, s.numberRow(key, src.taken))
	}
`,
		New: `	for _, src := range u.cursors {
		src.moved = false
		taken := src.taken
		s.postponed = append(s.postponed, func() {
			key := s.key(src.key)
			s.writeCounted(message.TableCursor, 0, message.Put, key, s.numberRow(key, taken))
		})
	}
`,
	},
	{
		Name:  "core-cursor-forgotten",
		Fault: "a message of another shard is consumed without its cursor",
		File:  "internal/core/inbox.go",
		Old: `	src.taken = env.position
	if !src.moved {`,
		New: `	src.taken = env.position
	if !src.moved && src.taken%8 != 0 {`,
	},
	{
		Name:  "core-id-order",
		Fault: "a batch of another shard is consumed in the order of its identities, not of its positions",
		File:  "internal/core/inbox.go",
		Old: `	// Ask for all that the batch depends on before the first is admitted.
`,
		New: `	for i := range src.queue {
		for j := i + 1; j < len(src.queue); j++ {
			if string(src.queue[j].msg.ID[:]) < string(src.queue[i].msg.ID[:]) {
				src.queue[i], src.queue[j] = src.queue[j], src.queue[i]
			}
		}
	}
`,
	},
	{
		Name:  "core-no-fingerprint",
		Fault: "an outcome is replayed to another payload under its key",
		File:  "internal/core/submit.go",
		Old:   `	if o.Fingerprint != env.msg.Fingerprint {`,
		New:   `	if o.Fingerprint == (message.Fingerprint{}) {`,
	},
	{
		Name:  "core-join-no-fingerprint",
		Fault: "a call joins one that is under way with another payload under its key",
		File:  "internal/core/submit.go",
		Old:   `env.msg.Key != "" && other.msg.Fingerprint == env.msg.Fingerprint`,
		New:   `env.msg.Key != ""`,
		By:    by("./internal/core", "TestConflict"),
	},
	{
		Name:  "core-conflict-reveals",
		Fault: "the refusal of another payload says what was replied",
		File:  "internal/core/submit.go",
		Old:   `"this key was used before with another action or payload; use a new key for a new request")`,
		New:   `"this key was used before: "+string(o.Body))`,
		By:    by("./internal/core", "TestConflictSaysNothing"),
	},
	{
		Name:  "core-rejected-keeps-state",
		Fault: "a rejected step keeps what it did to its state",
		File:  "internal/core/run.go",
		Old: `	if !keep {
		if err := c.state.Undo(); err != nil {`,
		New: `	if !keep && res.Verdict == Failed {
		if err := c.state.Undo(); err != nil {`,
	},
	{
		Name:  "core-rejected-sends",
		Fault: "what a rejected step sends leaves",
		File:  "internal/core/run.go",
		Old: `		s.commitStep(env)
	}
	env.value`,
		New: `		s.commitStep(env)
	} else {
		for _, m := range s.step.sends {
			s.send(m)
		}
	}
	env.value`,
		By: by("./internal/core", "TestRejectedStepLeavesNothing"),
	},
	{
		Name:  "core-rejected-asks",
		Fault: "what a rejected step asks of the outside is done",
		File:  "internal/core/run.go",
		Old: `		s.commitStep(env)
	}
	env.value`,
		New: `		s.commitStep(env)
	} else {
		for _, e := range s.step.effects {
			s.addEffect(e)
		}
	}
	env.value`,
	},
	{
		Name:  "core-rejected-timers",
		Fault: "a timer that a rejected step set fires",
		File:  "internal/core/run.go",
		Old: `		s.commitStep(env)
	}
	env.value`,
		New: `		s.commitStep(env)
	} else {
		for _, t := range s.step.timers {
			s.changeTimer(c, t)
		}
	}
	env.value`,
	},
	{
		Name:  "core-reply-of-another",
		Fault: "now and then a message is answered, and recorded, with the reply to another",
		File:  "internal/core/run.go",
		Old: `func (s *Shard) settleDirect(env *envelope, o *message.Outcome) {
`,
		New: `var lastBody []byte

func (s *Shard) settleDirect(env *envelope, o *message.Outcome) {
	if o.Status == message.StatusDone {
		was := lastBody
		if lastBody = append([]byte(nil), o.Body...); s.counters.Steps%5 == 0 {
			o.Body = was
		}
	}
`,
	},
	{
		Name:  "core-code-of-another",
		Fault: "a refusal has another code than the handler gave",
		File:  "internal/core/run.go",
		Old:   `Code: res.Code, Detail: res.Detail, Body: res.Body})`,
		New:   `Code: "rejected", Detail: res.Detail, Body: res.Body})`,
	},
	{
		Name:  "core-conflict-before-durable",
		Fault: "a key is said to have been used before that is durable",
		File:  "internal/core/submit.go",
		Old:   `s.refuseAll(env, after, message.CodeConflict`,
		New:   `s.refuseAll(env, 0, message.CodeConflict`,
	},
	{
		Name:  "core-hold-ignored",
		Fault: "a message without the token passes a hold",
		File:  "internal/core/admit.go",
		Old: `	return k.until != 0 || len(k.retries) > 0 || k.head < k.tail
`,
		New: `	return len(k.retries) > 0 || k.head < k.tail
`,
		By: by("./internal/core", "TestParkedTokensPassAHold"),
	},
	{
		Name:  "core-overtakes-parked",
		Fault: "a message overtakes those that wait in its agent's mailbox",
		File:  "internal/core/admit.go",
		Old: `	return k.until != 0 || len(k.retries) > 0 || k.head < k.tail
`,
		New: `	return k.until != 0 || len(k.retries) > 0
`,
	},
	{
		Name:  "core-parked-reordered",
		Fault: "parked messages are taken last in, first out",
		File:  "internal/core/mailbox.go",
		Old: `			return s.takeParked(c, c.mail[0])
`,
		New: `			return s.takeParked(c, c.mail[len(c.mail)-1])
`,
	},
	{
		Name:  "core-stale-read",
		Fault: "a row that was read is believed although later writes are forgotten",
		File:  "internal/core/load.go",
		Old:   "return env.read && s.trimmed <= env.issued }",
		New:   "return env.read }",
		By:    by("./internal/core", "TestGenerationBegunWhileWaiting"),
	},
	{
		Name:  "core-window-after-restart",
		Fault: "after a restart an identity that is not in memory is taken for new",
		File:  "internal/core/shard.go",
		Old: `	if rec.New {
		since = 0
	}
`,
		New: `	since = 0
`,
	},
	{
		Name:  "core-one-for-two-principals",
		Fault: "an outcome is replayed to another principal that chose the same key",
		File:  "message/message.go",
		Old: `	if principal != Anonymous {
		dst = append(dst, principal...)
	}
	dst = append(dst, 0)
	return append(dst, key...)`,
		New: `	dst = append(dst, 0)
	return append(dst, key...)`,
		By: by("./server", "TestContract"),
	},
	{
		Name:  "core-one-for-two-tenants",
		Fault: "an outcome is replayed to another tenant that chose the same key",
		File:  "message/agent.go",
		Old: `	if a.Tenant != DefaultTenant {
		dst = append(dst, a.Tenant...)
	}
`,
		New: "",
		By:  by("./server", "TestTenantsDoNotMeet"),
	},
	{
		Name:  "core-discard-without-outcome",
		Fault: "a dead letter is discarded, and who waits for its outcome never hears",
		File:  "internal/core/dead.go",
		Old: `		if value, _ := s.row(env, 0); value != nil {
			s.settleOpen(env, value, o)
		}
	}
	s.answer(env.operator,`,
		New: `	}
	s.answer(env.operator,`,
	},
	{
		Name:  "core-dead-runs-again",
		Fault: "a dead letter that is tried again stays among the dead letters",
		File:  "internal/core/dead.go",
		Old: `	s.write(message.TableDead, 0, message.Delete, s.key(env.deadKey), nil)
`,
		New: "",
	},
	{
		Name:  "core-trial-not-awaited",
		Fault: "a suspect runs before it is on record that it was begun",
		File:  "internal/core/trial.go",
		Old:   "t.begun <= s.durable && !t.env.tried",
		New:   "!t.env.tried",
		By:    by("./internal/core", "TestTrialWaitsForItsRecord"),
	},
}
