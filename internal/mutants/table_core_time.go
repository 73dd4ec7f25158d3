package mutants

// Timers, retention and the change feed, in the pure core.
var coreTime = []Mutant{
	{
		Name:  "timer-lost-on-recovery",
		Fault: "timers that were set before a restart do not fire after it",
		File:  "internal/core/shard.go",
		Old: `		s.timers.next = due.due
`,
		New: `		_ = due
`,
	},
	{
		Name:  "timer-cancelled-fires",
		Fault: "a timer that was cancelled or replaced while it fired arrives all the same",
		File:  "internal/core/timer.go",
		Old: `	if bytes.Equal(value, d.value) {
		return false
	}
`,
		New: `	if value != nil || bytes.Equal(value, d.value) || d.due != 0 {
		return false
	}
`,
	},
	{
		Name:  "timer-fires-twice",
		Fault: "a timer that fired is not removed by its step's unit",
		File:  "internal/core/timer.go",
		Old: `	row := s.key(d.row)
	s.write(message.TableTimer, 0, message.Delete, row, nil)
	s.dropDue(d)
`,
		New: "",
	},
	{
		Name:  "wake-up-of-a-timer-lost",
		Fault: "nobody is told when the next timer is due, and it waits for whatever happens next",
		File:  "internal/core/shard.go",
		Old: `	if at := s.timers.next; at != 0 && !s.timers.loading && at < next {
`,
		New: `	if at := s.timers.next; false && at != 0 {
`,
	},
	{
		Name:  "wake-up-of-a-retry-lost",
		Fault: "nobody is told when a retry is due or a hold ends, and it waits for whatever happens next",
		File:  "internal/core/shard.go",
		Old: `	if at := s.alarms.next(); at != 0 && at < next {
`,
		New: `	if at := s.alarms.next(); false && at != 0 {
`,
	},
	{
		Name:  "retention-one-generation-early",
		Fault: "a generation of the dedup log is forgotten one too early",
		File:  "internal/core/retention.go",
		Old:   "r.generations[n+1].start+r.window <= s.now {",
		New:   "r.generations[n+1].start+r.window-r.turn <= s.now {",
		By:    by("./internal/core", "TestEveryOutcomeIsKeptForTheRetention"),
	},
	{
		Name:  "retention-before-the-horizon",
		Fault: "a generation is dropped before the horizon that covers it is durable",
		File:  "internal/core/retention.go",
		Old: `			r.drops = append(r.drops, pendingDrop{s.openSeq(), r.generations[0].number})
`,
		New: `			s.retire().Below = r.generations[0].number
`,
		By: by("./internal/core", "TestDropWaitsForTheHorizon"),
	},
	{
		Name:  "retention-expiry-before-the-horizon",
		Fault: "a key is refused as expired by a horizon that is not durable",
		File:  "internal/core/submit.go",
		Old:   `		s.refuseAll(env, s.latest(), message.CodeKeyExpired, expiredDetail)`,
		New:   `		s.refuseAll(env, s.sealed, message.CodeKeyExpired, expiredDetail)`,
		By:    by("./internal/core", "TestExpiryWaitsForTheHorizon"),
	},
	{
		Name:  "retention-without-a-horizon",
		Fault: "a key older than the dedup log remembers is executed",
		File:  "internal/core/submit.go",
		Old: `	if at <= s.retention.horizon(s.lead) {
`,
		New: `	if at <= s.retention.horizon(s.lead)-s.retention.window {
`,
		By: by("./internal/core", "TestGenerations"),
	},
	{
		Name:  "retention-during-a-jump",
		Fault: "outcomes are forgotten although the clock leapt across the restart",
		File:  "internal/core/retention.go",
		Old: `	r.generations = append(r.generations, generation{r.current() + 1, s.now, s.feed.last})
	if !r.paused {
`,
		New: `	r.generations = append(r.generations, generation{r.current() + 1, s.now, s.feed.last})
	if true {
`,
		By: by("./internal/core", "TestNothingIsForgottenWhilePaused"),
	},
	{
		Name:  "retention-key-from-the-future",
		Fault: "a key from a clock far ahead is taken",
		File:  "internal/core/submit.go",
		Old: `	if at > s.now+message.Time(s.cfg.Skew) {
`,
		New: `	if at > s.now+message.Time(s.cfg.Skew)*1000000 {
`,
		By: by("./internal/core", "TestGenerations"),
	},
	{
		Name:  "retention-new-key-expired",
		Fault: "a key within its retention is refused as expired",
		File:  "internal/core/submit.go",
		Old: `	if at <= s.retention.horizon(s.lead) {
`,
		New: `	if at <= s.now-message.Time(s.cfg.Skew)/2 {
`,
	},
	{
		Name:  "retention-no-skew",
		Fault: "a key from a clock that is a little ahead is refused",
		File:  "internal/core/submit.go",
		Old: `	if at > s.now+message.Time(s.cfg.Skew) {
`,
		New: `	if at > s.now {
`,
	},
	{
		Name:  "clock-runs-backwards",
		Fault: "a session begins before times that the one before it had seen",
		File:  "internal/core/retention.go",
		Old: `	return c.trusted + clockStep
`,
		New: `	return c.trusted - clockStep
`,
		By: by("./internal/core", "TestTimeNeverGoesBack"),
	},
	{
		Name:  "feed-skips-a-unit",
		Fault: "the change feed has no row of a unit that changed states",
		File:  "internal/core/feed.go",
		Old: `	if !slices.ContainsFunc(s.open.dirty, func(c *cell) bool { return c.changed }) {
`,
		New: `	if s.openSeq()%16 == 0 || !slices.ContainsFunc(s.open.dirty, func(c *cell) bool { return c.changed }) {
`,
	},
	{
		Name:  "feed-floor-not-raised",
		Fault: "the change feed forgets rows and does not say so",
		File:  "internal/core/feed.go",
		Old: `	if oldest.after > s.feed.floor {
`,
		New: `	if oldest.after > s.feed.floor && s.feed.last == 0 {
`,
		By: by("./internal/core", "TestFeedForgetsWithItsGeneration"),
	},
}
