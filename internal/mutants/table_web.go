package mutants

// Effects by configuration.
var webMutants = []Mutant{
	{
		Name:  "web-redirect-followed",
		Fault: "a redirect is followed, to wherever it points",
		File:  "webeffect/send.go",
		Old:   "\tdefer resp.Body.Close()\n\ta := answer{",
		New:   "\tdefer resp.Body.Close()\n\tif to, err := resp.Location(); err == nil {\n\t\treturn e.send(ctx, e.request(r.Method, to, r.Header, nil))\n\t}\n\ta := answer{",
		By:    by("./webeffect", "TestRedirects"),
	},
	{
		Name:  "web-private-address",
		Fault: "a private address is connected to",
		File:  "webeffect/address.go",
		Old:   "\tif !public(a.Addr()) {\n",
		New:   "\tif a.Addr().IsUnspecified() && !public(a.Addr()) {\n",
		By:    by("./webeffect", "TestRefusePrivate"),
	},
	{
		Name:  "web-mapped-address",
		Fault: "a private address that is written as an IPv6 one is connected to",
		File:  "webeffect/address.go",
		Old:   "\tif nat64.Contains(a) {\n",
		New:   "\tif nat64.Contains(a) && a.Is4() {\n",
		By:    by("./webeffect", "TestPublic"),
	},
	{
		Name:  "web-sent-told-as-not-sent",
		Fault: "a request whose answer is lost is told as not sent, and made again",
		File:  "webeffect/send.go",
		Old:   "\t\treturn answer{}, fmt.Errorf(\"the request was sent, and no answer came: %w\", e.lost(ctx, err))\n",
		New:   "\t\treturn answer{}, &notSentError{e.lost(ctx, err)}\n",
		By:    by("./webeffect", "TestSentAndLost"),
	},
	{
		Name:  "web-probe-that-cannot-tell",
		Fault: "a probe that is refused is taken for not done",
		File:  "webeffect/call.go",
		Old:   "\tcase a.status == http.StatusNotFound:\n\t\treturn nil, semel.NotDone(",
		New:   "\tcase a.rejected():\n\t\treturn nil, semel.NotDone(",
		By:    by("./webeffect", "TestProbeStatuses"),
	},
	{
		Name:  "web-server-error-is-a-no",
		Fault: "an answer of the class 5xx is taken for a decided no",
		File:  "webeffect/call.go",
		Old:   "\treturn a.status >= 400 && a.status <= 499\n",
		New:   "\treturn a.status >= 400\n",
		By:    by("./webeffect", "TestStatusAndPolicy"),
	},
	{
		Name:  "web-without-a-key",
		Fault: "a call is made without the key that the provider deduplicates by",
		File:  "webeffect/call.go",
		Old:   "\th[\"Idempotency-Key\"] = []string{c.Key}\n",
		New:   "",
		By:    by("./webeffect", "TestWhatIsSent"),
	},
}
