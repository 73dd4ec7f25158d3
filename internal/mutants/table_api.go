package mutants

// The public API and the Go client.
var apiMutants = []Mutant{
	{
		Name:  "api-source-without-incarnation",
		Fault: "a source that was made anew passes for the old one",
		File:  "request.go",
		Old:   `m.Source, m.Position = seq.Source+"\x00"+seq.Incarnation, seq.Position`,
		New:   "m.Source, m.Position = seq.Source, seq.Position",
		By:    by(".", "TestSequencedMessages"),
	},
	{
		Name:  "api-key-not-checked",
		Fault: "a malformed key is taken",
		File:  "request.go",
		Old: `		if err := message.CheckKey(r.Key); err != nil {
`,
		New: `		if err := message.CheckKey("good"); err != nil {
`,
		By: by(".", "TestKeysAreChecked"),
	},
	{
		Name:  "api-batch-order",
		Fault: "the outcomes of a batch are told for other calls of it",
		File:  "request.go",
		Old: `		answers[at] = answerOf(ctx, messages[i].To, messages[i].Action, a)
`,
		New: `		answers[len(answers)-1-at] = answerOf(ctx, messages[i].To, messages[i].Action, a)
`,
		By: by(".", "TestBatch"),
	},
	{
		Name:  "client-another-key-for-a-retry",
		Fault: "the client sends a repetition without the key of the first attempt",
		File:  "client/exchange.go",
		Old: `		h.add(err)
		wait, again`,
		New: `		x.key += "x"
		h.add(err)
		wait, again`,
		By: by("./client", "TestCallsThroughABadNetwork"),
	},
	{
		Name:  "client-broken-told-as-not-done",
		Fault: "a connection that broke after the call was sent is told as not done",
		File:  "client/exchange.go",
		Old: `	if sent && x.nature != reads {
`,
		New: `	if sent && x.nature == once {
`,
		By: by("./client", "TestGivingUpIsUnknown"),
	},
	{
		Name:  "client-refusal-clears-the-unknown",
		Fault: "a refusal is told as not done although an earlier attempt may have taken effect",
		File:  "client/retry.go",
		Old:   `	if h.unknown == nil || semel.KindOf(last) != semel.KindNotDone ||`,
		New:   `	if h.unknown == nil || semel.KindOf(last) == semel.KindNotDone ||`,
		By:    by("./client", "TestARefusalSaysNothingOfEarlierAttempts"),
	},
}
