package mutants

// Effects by configuration.
var webMutants = []Mutant{
	{
		Name:  "web-redirect-followed",
		Fault: "a redirect is followed, to wherever it points",
		File:  "webeffect/send.go",
		Old: `	defer resp.Body.Close()
	a := answer{`,
		New: `	defer resp.Body.Close()
	if to, err := resp.Location(); err == nil {
		return e.send(ctx, e.request(r.Method, to, r.Header, nil))
	}
	a := answer{`,
		By: by("./webeffect", "TestRedirects"),
	},
	{
		Name:  "web-private-address",
		Fault: "a private address is connected to",
		File:  "internal/outbound/address.go",
		Old: `	if !Public(a.Addr()) {
`,
		New: `	if a.Addr().IsUnspecified() && !Public(a.Addr()) {
`,
		By: by("./internal/outbound", "TestRefusePrivate"),
	},
	{
		Name:  "web-mapped-address",
		Fault: "a private address that is written as an IPv6 one is connected to",
		File:  "internal/outbound/address.go",
		Old: `	if nat64.Contains(a) {
`,
		New: `	if nat64.Contains(a) && a.Is4() {
`,
		By: by("./internal/outbound", "TestPublic"),
	},
	{
		Name:  "web-sent-told-as-not-sent",
		Fault: "a request whose answer is lost is told as not sent, and made again",
		File:  "webeffect/send.go",
		Old: `		return answer{}, fmt.Errorf("the request was sent, and no answer came: %w", e.lost(ctx, err))
`,
		New: `		return answer{}, &notSentError{e.lost(ctx, err)}
`,
		By: by("./webeffect", "TestSentAndLost"),
	},
	{
		Name:  "web-probe-that-cannot-tell",
		Fault: "a probe that is refused is taken for not done",
		File:  "webeffect/call.go",
		Old: `	case a.status == http.StatusNotFound:
		return nil, semel.NotDone(`,
		New: `	case a.rejected():
		return nil, semel.NotDone(`,
		By: by("./webeffect", "TestProbeStatuses"),
	},
	{
		Name:  "web-server-error-is-a-no",
		Fault: "an answer of the class 5xx is taken for a decided no",
		File:  "webeffect/call.go",
		Old: `	return a.status >= 400 && a.status <= 499
`,
		New: `	return a.status >= 400
`,
		By: by("./webeffect", "TestStatusAndPolicy"),
	},
	{
		Name:  "web-without-a-key",
		Fault: "a call is made without the key that the provider deduplicates by",
		File:  "webeffect/call.go",
		Old: `	h["Idempotency-Key"] = []string{c.Key}
`,
		New: "",
		By:  by("./webeffect", "TestWhatIsSent"),
	},
}
