package webeffect_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/webeffect"
)

// Each mistake is named by its field, with what to do, and tells no secret.
func TestCheck(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	good := webeffect.Spec{URL: "https://pay.example/charge?token=" + secret, Headers: map[string]string{"Authorization": "Bearer " + secret}}
	set := func(change func(*webeffect.Spec)) webeffect.Spec {
		s := good
		change(&s)
		return s
	}
	url := func(u string) webeffect.Spec { return set(func(s *webeffect.Spec) { s.URL = u }) }
	probe := func(u string) webeffect.Spec {
		return set(func(s *webeffect.Spec) { s.Policy, s.ProbeURL = "probe", u })
	}
	header := func(name, value string) webeffect.Spec {
		return set(func(s *webeffect.Spec) { s.Headers = map[string]string{name: value} })
	}
	for _, c := range []struct {
		spec webeffect.Spec
		want string // of the error; empty if there is none
	}{
		{good, ""},
		{url(""), "effects.pay.url: it is missing; set it"},
		{url("https://h/%zz" + secret), "effects.pay.url: it is not a URL"},
		{url("https://h:port" + secret + "/"), "effects.pay.url: it is not a URL"},
		{url("https://h/\n" + secret), "effects.pay.url: it is not a URL"},
		{url("ftp://h/" + secret), "effects.pay.url: it must begin with https://"},
		{url("/" + secret), "effects.pay.url: it must begin with https://"},
		{url("https:///" + secret), "effects.pay.url: it has no host"},
		{url("https:h/" + secret), "effects.pay.url: it has no host"},
		{url("https://:443/" + secret), "effects.pay.url: it has no host"},
		{url("https://user:" + secret + "@h/"), "effects.pay.url: it must not contain a user name"},
		{url("https://h:0/"), "effects.pay.url: its port"},
		{url("https://h:65536/"), "effects.pay.url: its port"},
		{url("https://bücher.example/"), "effects.pay.url: its host is not in ASCII"},
		{url("https://h/#" + secret), "effects.pay.url: it has a fragment"},
		{url("http://[::1]:8080/"), ""},
		{url("http://127.0.0.1"), ""}, // refused when it is dialled
		{set(func(s *webeffect.Spec) { s.Method = "post" }), `effects.pay.method: it cannot be used; choose one of POST`},
		{set(func(s *webeffect.Spec) { s.Method = "CONNECT" }), "effects.pay.method:"},
		{set(func(s *webeffect.Spec) { s.Method = "HEAD" }), "effects.pay.method:"},
		{set(func(s *webeffect.Spec) { s.Policy = "sometimes" }), `effects.pay.policy: there is no such policy; choose one of ask, keyed, probe, at_most_once, read_only`},
		{set(func(s *webeffect.Spec) { s.Timeout = -time.Second }), "effects.pay.timeout: it is -1s"},
		{set(func(s *webeffect.Spec) { s.Timeout = 30 }), "effects.pay.timeout: it is 30ns; write at least 1ms, with a unit"},
		{set(func(s *webeffect.Spec) { s.Attempts = -1 }), "effects.pay.attempts:"},
		{set(func(s *webeffect.Spec) { s.MaxReply = -1 }), "effects.pay.max_reply:"},
		{set(func(s *webeffect.Spec) { s.MaxReply = 1 << 40 }), "effects.pay.max_reply:"},
		{set(func(s *webeffect.Spec) { s.ProbeURL = "https://h/{key}" }), "effects.pay.probe_url: only the policy probe asks it"},
		{probe(""), "effects.pay.probe_url: the policy probe needs it"},
		{probe("https://h/" + secret), "effects.pay.probe_url: it must contain {key}"},
		{probe("https://{key}.h/" + secret), "effects.pay.probe_url:"},
		{probe("https://h/{key}#{key}"), "effects.pay.probe_url: it has a fragment"},
		{probe("https://u:" + secret + "@h/{key}"), "effects.pay.probe_url: it must not contain a user name"},
		{probe("https://h/{key}"), ""},
		{probe("https://h/?k={key}"), ""},
		{header("X Y", secret), `effects.pay.headers."X Y": it is not the name of a header`},
		{header("", secret), `effects.pay.headers."": it is not the name`},
		{header("idempotency-key", secret), `effects.pay.headers."idempotency-key": it is set by Semel`},
		{header("Host", secret), "it is set by Semel"},
		{header("Accept-Encoding", "gzip"), "it is set by Semel"},
		{header("Authorization", " "), `effects.pay.headers."Authorization": its value is empty; if it comes from an environment variable`},
		{header("Authorization", secret+"\n"), "its value contains a line break"},
		{header("Authorization", secret+"\r\nX: y"), "its value contains a line break"},
		{set(func(s *webeffect.Spec) { s.Headers = map[string]string{"X-A": secret, "x-a": secret} }), "the header is there twice"},
	} {
		err := webeffect.Check(specs{"pay": c.spec})
		if c.want == "" && err != nil || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%q: the error is %v; want %q", c.spec.URL, err, c.want)
		}
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("it tells a secret: %v", err)
		}
	}
	for _, name := range []string{"", ".", "..", "a\x00b", strings.Repeat("x", 600)} {
		if err := webeffect.Check(specs{name: good}); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	for _, told := range []string{fmt.Sprint(good), fmt.Sprintf("%+v %#v %s", good, good, specs{"a": good})} {
		if strings.Contains(told, secret) {
			t.Errorf("a spec tells its secrets: %s", told)
		}
	}
}

// Everything that is wrong is told at once, and then nothing is registered.
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(t.Context())
	good := webeffect.Spec{URL: "https://h/"}
	var field *webeffect.FieldError
	err = webeffect.Register(app, specs{"a": {}, "b": good, "c": {URL: "https://h/", Policy: "x", Method: "y"}}, nil)
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "effects.a.url:") ||
		!errors.As(err, &field) || field.Field != "effects.a.url" {
		t.Errorf("%v", err)
	}
	if err := webeffect.Register(app, specs{"b": good}, nil); err != nil {
		t.Errorf("after the mistake was mended: %v", err)
	}
	if _, err := app.Action(webeffect.AgentType, webeffect.Action); err != nil {
		t.Error(err)
	}
}
