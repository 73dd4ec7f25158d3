package mutants

// The HTTP API.
var serverMutants = []Mutant{
	{
		Name:  "server-tenant-forgotten",
		Fault: "a call is made for the default tenant, whoever sent it",
		File:  "server/call.go",
		Old: `	req.Tenant, req.Principal = who.Tenant, who.Name
`,
		New: `	req.Tenant, req.Principal = "", who.Name
`,
		By: by("./server", "TestTenantsDoNotMeet"),
	},
	{
		Name:  "server-whole-for-every-tenant",
		Fault: "an operator of any tenant may do what is about the whole server",
		File:  "server/who.go",
		Old:   "rt.whole && who.Tenant != message.DefaultTenant {",
		New: `rt.whole && who.Tenant == "" {
			_ = message.DefaultTenant`,
		By: by("./server", "TestContract"),
	},
	{
		Name:  "server-revoked-token-replays",
		Fault: "a token that was taken back goes on to be served",
		File:  "server/auth.go",
		Old:   "r.current.Store(&a) }",
		New:   "r.current.CompareAndSwap(nil, &a) }",
		By:    by("./server", "TestReloadable"),
	},
	{
		Name:  "server-stream-outlives-its-token",
		Fault: "a stream goes on after its token was taken back",
		File:  "server/who.go",
		Old: `	return err == nil && who == s.who(r)
`,
		New: `	_ = who
	return err == nil || r != nil
`,
		By: by("./server", "TestStreamsEnd"),
	},
	{
		Name:  "server-any-role",
		Fault: "a principal may do what none of its roles allows",
		File:  "server/who.go",
		Old:   "rt.roles != 0 && !who.hasOne(rt.roles) {",
		New:   "rt.roles != 0 && who.Roles == 0 {",
		By:    by("./server", "TestContract"),
	},
	{
		Name:  "server-rebinding",
		Fault: "a page of another site reaches the loopback address by DNS rebinding",
		File:  "server/host.go",
		Old:   "overLoopback(r) && !s.ownHost(hostname(r.Host)) {",
		New:   "!overLoopback(r) && !s.ownHost(hostname(r.Host)) {",
		By:    by("./server", "TestHostsOnLoopback"),
	},
	{
		Name:  "server-batch-order",
		Fault: "the answers of a batch are in the order of those that were valid",
		File:  "server/batch.go",
		Old: `		answers[index[i]] = s.tell(r, a)
`,
		New: `		answers[i] = s.tell(r, a)
`,
		By: by("./server", "TestContract"),
	},
	{
		Name:  "server-tells-the-store",
		Fault: "a failure's detail has what the handler or the store said",
		File:  "server/problem.go",
		Old:   `		if notDone.Code == message.CodeHandlerFailed ||`,
		New:   `		if p.Code == "" ||`,
		By:    by("./server", "TestFailures"),
	},
	{
		Name:  "server-two-keys",
		Fault: "of two headers with a key the first is taken",
		File:  "server/key.go",
		Old: `		return "", true, errors.New("the header Idempotency-Key came more than once; send one")
`,
		New: "",
		By:  by("./server", "TestOrderOfChecks"),
	},
}
