package mutants

// Effects, in the pure core.
var coreEffects = []Mutant{
	{
		Name:  "effect-doubt-untold",
		Fault: "who waits for an effect that came into doubt is not told",
		File:  "internal/core/origin.go",
		Old: `		return changed
`,
		New: `		return changed && status != message.StatusInDoubt
`,
	},
	{
		Name:  "effect-ask-retried-after-crash",
		Fault: "an effect with the policy Ask that was started is called again after a crash",
		File:  "internal/core/effect_recover.go",
		Old: `		e.reason = lostCall
		s.doubt(e)
`,
		New: `		s.again(e)
		s.enqueue(e)
`,
	},
	{
		Name:  "effect-ask-retried",
		Fault: "an effect with the policy Ask is called again when its answer is lost",
		File:  "internal/core/effect.go",
		Old: `	default:
		s.doubt(e)
	}
}

// probedNotDone`,
		New: `	default:
		s.again(e)
		s.effectLater(e, s.backoff(e.id, e.attempts))
	}
}

// probedNotDone`,
	},
	{
		Name:  "effect-at-most-once-retried-after-crash",
		Fault: "an effect with the policy AtMostOnce that was started is called again after a crash",
		File:  "internal/core/effect_recover.go",
		Old: `	case AtMostOnce:
		s.settleEffect(e, EffectResult{
			ID: e.id, Status: message.StatusUnknown, Code: string(message.CodeOutcomeUnknown), Detail: lostCall,
		})
`,
		New: `	case AtMostOnce:
		s.again(e)
		s.enqueue(e)
`,
	},
	{
		Name:  "effect-at-most-once-retried",
		Fault: "an effect with the policy AtMostOnce is called again when its answer is lost",
		File:  "internal/core/effect.go",
		Old: `	case AtMostOnce:
		r.Code = string(message.CodeOutcomeUnknown)
		s.settleEffect(e, r)
`,
		New: `	case AtMostOnce:
		s.again(e)
		s.effectLater(e, s.backoff(e.id, e.attempts))
`,
	},
	{
		Name:  "effect-one-key-for-two",
		Fault: "two effects of one step have the same key",
		File:  "internal/core/step.go",
		Old: `	id := s.NewID()
	e := &effectRecord{`,
		New: `	identify(s.msg)
	id := s.msg.ID.Child(1)
	e := &effectRecord{`,
		By: by("./internal/core", "TestEffectsOfOneStepHaveKeysOfTheirOwn"),
	},
	{
		Name:  "effect-start-not-awaited",
		Fault: "a call leaves before it is on record that it was started",
		File:  "internal/core/effect.go",
		Old: `		e.status = effectStarted
		s.putEffect(e)
		after = s.openSeq()
`,
		New: `		e.status = effectStarted
		s.putEffect(e)
`,
	},
	{
		Name:  "effect-start-not-recorded",
		Fault: "a call leaves, and no record says that it was started",
		File:  "internal/core/effect.go",
		Old: `	case kind == nothingUnrecorded:
		e.status = effectStarted
		s.putEffect(e)
		after = s.openSeq()
`,
		New: `	case kind == nothingUnrecorded:
		e.status = effectStarted
`,
	},
	{
		Name:  "effect-no-settling-time",
		Fault: "not done is believed while a call may still be on its way",
		File:  "internal/core/effect.go",
		Old: `	return later(later(began, max(e.timeout, s.policy(e).Timeout)), s.cfg.Lease)
`,
		New: `	return later(began, min(s.cfg.Lease, 0))
`,
	},
	{
		Name:  "effect-settling-time-without-lease",
		Fault: "not done is believed while a former owner may still let its call go",
		File:  "internal/core/effect.go",
		Old: `	return later(later(began, max(e.timeout, s.policy(e).Timeout)), s.cfg.Lease)
`,
		New: `	return later(began, max(e.timeout, s.policy(e).Timeout))
`,
		By: by("./internal/core", "TestNotDoneIsRefusedWhileTheCallMayArrive"),
	},
	{
		Name:  "effect-settling-time-from-the-record",
		Fault: "the settling time is counted from the record of the start, which may have become durable late",
		File:  "internal/core/effect.go",
		Old: `	began := max(e.started, e.mem.returned)
`,
		New: `	began := e.started
`,
		By: by("./internal/core", "TestSettleTimeBeginsWithTheCall"),
	},
	{
		Name:  "effect-probe-counts-when-it-answers",
		Fault: "a probe's not done counts from when it is told, not from when it looked",
		File:  "internal/core/effect.go",
		Old:   "e.mem.probed < settled && !closed",
		New:   "s.now < settled && !closed",
		By:    by("./internal/core", "TestProbeLooksWhenItBegins"),
	},
	{
		Name:  "effect-deadline-of-today",
		Fault: "the settling time is that of today's configuration, although the call was given longer",
		File:  "internal/core/effect.go",
		Old: `	return later(later(began, max(e.timeout, s.policy(e).Timeout)), s.cfg.Lease)
`,
		New: `	return later(later(began, s.policy(e).Timeout), s.cfg.Lease)
`,
		By: by("./internal/core", "TestSettleTimeOfALongerDeadline"),
	},
	{
		Name:  "effect-call-across-a-reopen",
		Fault: "a call that outlives its session is not waited for by the next one of its process",
		File:  "internal/core/effect.go",
		Old: `	if e.mem.away {
		began = s.now
	}
`,
		New: "",
		By:  by("./internal/core", "TestSettleTimeOfACallAcrossAReopen"),
	},
	{
		Name:  "effect-doubt-unalarmed",
		Fault: "an effect comes into doubt, and no alarm says so",
		File:  "internal/core/effect.go",
		Old: `	s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmDoubt, Agent: e.agent, ID: e.id, Detail: e.name + ": " + e.reason})
`,
		New: "",
	},
	{
		Name:  "effect-contradiction-untold",
		Fault: "a late answer contradicts what the agent heard, and no alarm says so",
		File:  "internal/core/late.go",
		Old: `	s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmConflict, ID: r.ID, Detail: detail})
`,
		New: `	_ = detail
`,
	},
	{
		Name:  "effect-late-answer-believed",
		Fault: "a late answer that contradicts a resolution is dropped without a word",
		File:  "internal/core/late.go",
		Old: `	if was.Conflict != "" {
		return
	}
`,
		New: `	if was.Conflict == "" {
		return
	}
`,
		By: by("./internal/core", "TestLateAnswerContradicts"),
	},
	{
		Name:  "effect-second-resolution-wins",
		Fault: "a doubt that a person settled can be settled again, otherwise",
		File:  "internal/core/resolve.go",
		Old:   "e.status != effectDoubt || e.resolved {",
		New:   "e.status != effectDoubt {",
		By:    by("./internal/core", "TestResolutionSurvivesCrash"),
	},
	{
		Name:  "effect-early-look",
		Fault: "a person's not done counts from when it is said, not from when they looked",
		File:  "internal/core/look.go",
		Old: `	return l.Epoch == s.epoch && l.At >= s.settleTime(e)
`,
		New: `	return l.Epoch > 0 && s.now >= s.settleTime(e)
`,
	},
	{
		Name:  "effect-refused-word-acted-on",
		Fault: "a person's not done is refused as too early, and the effect is called again all the same",
		File:  "internal/core/resolve.go",
		Old: `		wait := time.Duration(s.settleTime(e) - s.now)
`,
		New: `		wait := time.Duration(s.settleTime(e) - s.now)
		if wait <= 0 {
			s.again(e)
			s.enqueue(e)
		}
`,
	},
	{
		Name:  "effect-look-of-another-session",
		Fault: "a look is compared with the clock of another session than the one in which it was made",
		File:  "internal/core/look.go",
		Old: `	return l.Epoch == s.epoch && l.At >= s.settleTime(e)
`,
		New: `	return l.At >= s.settleTime(e)
`,
		By: by("./internal/core", "TestALookIsOfItsSession"),
	},
	{
		Name:  "effect-maybe-forgotten",
		Fault: "a keyed effect is told as not done although an earlier call may have taken effect",
		File:  "internal/core/effect.go",
		Old: `		if e.mem.maybe { // this call was not done, but one before it may have been
`,
		New: `		if false {
`,
		By: by("./internal/core", "TestKeyedDoesNotGiveUpOnAMaybe"),
	},
	{
		Name:  "effect-asked-and-lost",
		Fault: "an effect that was asked for is not called after a restart",
		File:  "internal/core/effect_recover.go",
		Old: `			s.recoverStarted(e)
			return
		}
	}
	s.enqueue(e)
}
`,
		New: `			s.recoverStarted(e)
			return
		}
	}
}
`,
	},
	{
		Name:  "effect-result-twice",
		Fault: "an effect whose result came stays in the store, and is called again after a crash",
		File:  "internal/core/effect.go",
		Old: `	s.write(message.TableEffect, 0, message.Delete, s.key(e.id[:]), nil)
`,
		New: "",
	},
	{
		Name:  "effect-answers-another-tenant",
		Fault: "an operator settles a doubt of another tenant",
		File:  "internal/core/resolve.go",
		Old: `	if e != nil && asks != "" && asks != e.agent.Tenant {
`,
		New: `	if e != nil && asks == "-" {
`,
		By: by("./server", "TestTenantsDoNotMeet"),
	},
}
