package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/semel-dev/semel/server"
)

// sourceOf is a source with a file's text, variables and a command line.
func sourceOf(t *testing.T, text string, environ []string, args ...string) source {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addSettings(flags)
	if text != "" {
		args = append([]string{"--config", writeFile(t, "semel.yaml", text)}, args...)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return source{flags: flags, environ: environ}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustLoad(t *testing.T, s source) *loaded {
	t.Helper()
	l, bad := s.load()
	if err := bad.err(); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNothingSaidIsTheDefault(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "---\n", "tls:\nauth:\n  principals:\neffects:\n"} {
		l := mustLoad(t, sourceOf(t, text, nil))
		if want := defaultConfig(); !reflect.DeepEqual(l.config, want) {
			t.Errorf("%q: %+v", text, l.config)
		}
	}
}

// Every setting, in each of its three places and in all of their combinations.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	// For each type, what the file, the variable and the flag say.
	values := map[string][3]string{
		"string": {"one", "two", "three"}, "int": {"11", "12", "13"}, "Duration": {"1h", "2h", "3h"},
		"size": {"1MiB", "2MiB", "3MiB"}, "slice": {"one", "two", "three"}, "bool": {"false", "true", "false"},
		"secret": {"one", "two", "three"},
	}
	textOf := func(v reflect.Value) string {
		if s, ok := v.Interface().(secret); ok {
			return string(s) // which no text that is printed has
		}
		return formatText(v.Interface())
	}
	for _, s := range settings {
		c := defaultConfig()
		fieldType := s.of(&c).Type()
		kind := fieldType.Name()
		if fieldType.Kind() == reflect.Slice {
			kind = "slice"
		}
		given, ok := values[kind]
		if !ok {
			t.Fatalf("%s has a type that this test does not know: %v", s.path, fieldType)
		}
		for mask := range 8 {
			text, environ, args := "", []string{"SEMEL_UNRELATED=1"}, []string(nil)
			want, from := textOf(s.of(&c)), "default"
			if mask&1 != 0 {
				yamlValue := given[0]
				if kind == "slice" {
					yamlValue = "[" + yamlValue + "]"
				}
				if section, key, nested := strings.Cut(s.path, "."); nested {
					text = section + ":\n  " + key + ": " + yamlValue + "\n"
				} else {
					text = s.path + ": " + yamlValue + "\n"
				}
				want, from = given[0], "semel.yaml:"
			}
			if mask&2 != 0 {
				environ = append(environ, s.envName()+"="+given[1])
				want, from = given[1], s.envName()
			}
			if mask&4 != 0 {
				args = append(args, "--"+s.flagName()+"="+given[2])
				want, from = given[2], "--"+s.flagName()
			}
			l := mustLoad(t, sourceOf(t, text, environ, args...))
			if got := textOf(s.of(&l.config)); got != want || !strings.Contains(l.from(s.path), from) {
				t.Errorf("%s, combination %d: %q from %s, want %q from %s", s.path, mask, got, l.from(s.path), want, from)
			}
			for _, other := range settings { // and no other is touched
				if other.path != s.path && l.from(other.path) != "default" {
					t.Errorf("%s changed %s", s.path, other.path)
				}
			}
		}
	}
}

func TestLayersAreMergedByKey(t *testing.T) {
	t.Parallel()
	l := mustLoad(t, sourceOf(t, "tls:\n  cert: file\nhosts: [a, b]\neffects:\n  dots.in.name: {url: 'http://x'}\n",
		[]string{"SEMEL_TLS_KEY=env", "SEMEL_LISTEN=", "SEMEL_HOSTS=c, d"}, "--host", "e,f", "--host", "g", "--proxy-tls"))
	if l.TLS != (tlsConfig{"file", "env"}) || !slices.Equal(l.Hosts, []string{"e", "f", "g"}) || !l.ProxyTLS || l.Listen != defaultConfig().Listen {
		t.Errorf("%+v", l.config)
	}
	if l.Effects["dots.in.name"].URL != "http://x" || len(l.Effects) != 1 {
		t.Errorf("%+v", l.Effects)
	}
}

func TestConfigVariableNamesTheFile(t *testing.T) {
	t.Parallel()
	name, other := writeFile(t, "a.yaml", "wait: 3s"), writeFile(t, "b.yaml", "wait: 4s")
	if l := mustLoad(t, sourceOf(t, "", []string{"SEMEL_CONFIG=" + name})); l.Wait != 3*time.Second {
		t.Error(l.Wait)
	}
	if l := mustLoad(t, sourceOf(t, "", []string{"SEMEL_CONFIG=" + name}, "--config", other)); l.Wait != 4*time.Second {
		t.Error(l.Wait)
	}
}

const canary = "CANARY-7f3a"

// Each file has one thing wrong, and the canary wherever a secret might be.
func TestFileProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"listen: 127.0.0.1:0\nlisen: x", `semel.yaml:2: lisen: there is no such key; did you mean "listen"?`},
		{"max_boyd: 1", `semel.yaml:1: max_boyd: there is no such key; did you mean "max_body"?`},
		{"tls:\n  crt: " + canary, `semel.yaml:2: tls.crt: there is no such key; did you mean "cert"?`},
		{"tls:\n  xyzzyx: 1", `semel.yaml:2: tls.xyzzyx: there is no such key; there are cert, key`},
		{"auth:\n  principals:\n  - name: a\n    token: [" + canary + "]", `semel.yaml:4: auth.principals[0].token: there is no such key; did you mean "tokens"?`},
		{"effects:\n  charge:\n    ulr: " + canary, `semel.yaml:3: effects.charge.ulr: there is no such key; did you mean "url"?`},
		{"wait: 10", "semel.yaml:1: wait: it must be a time with its unit"},
		{"wait: 10 s", "semel.yaml:1: wait: it must be a time with its unit"},
		{"wait: [1s]", "semel.yaml:1: wait: it must be one value"},
		{"max_body: 1MB", "semel.yaml:1: max_body: it must be a number of bytes"},
		{"max_body: -1", "semel.yaml:1: max_body: it must be a number of bytes"},
		{"max_body: 9999999999GiB", "semel.yaml:1: max_body: it must be a number of bytes"},
		{"max_body: 1.5", "semel.yaml:1: max_body: it must be a number of bytes"},
		{"max_in_flight: many", "semel.yaml:1: max_in_flight: it must be a whole number"},
		{"max_in_flight: 1e3", "semel.yaml:1: max_in_flight: it must be a whole number"},
		{"proxy_tls: yes", "semel.yaml:1: proxy_tls: it must be true or false"},
		{"data: 12", "semel.yaml:1: data: it must be text; put it in quotes"},
		{"data: true", "semel.yaml:1: data: it must be text; put it in quotes"},
		{"data:", "semel.yaml:1: data: it has no value"},
		{"hosts: a", "semel.yaml:1: hosts: it must be a list"},
		{"hosts:\n- a\n-", "semel.yaml:3: hosts[1]: it has no value"},
		{"hosts:\n- a\n- {b: c}", "semel.yaml:3: hosts[1]: it must be one value"},
		{"log: debug", "semel.yaml:1: log: it must be a mapping"},
		{"auth: [" + canary + "]", "semel.yaml:1: auth: it must be a mapping"},
		{"- a", "semel.yaml:1: it must be a mapping"},
		{canary, "semel.yaml:1: it must be a mapping"},
		{"wait: 1s\nskew: 1s\nwait: 2s", "semel.yaml:3: wait: the key is in line 1 already"},
		{"1: x", "semel.yaml:1: a key here must be a name"},
		{"? [a]\n: x", "semel.yaml:1: a key here must be a name"},
		{"<<: {wait: 1s}", "semel.yaml:1: a key here must be a name"},
		{"wait: &x 1s", "semel.yaml:1: wait: anchors and aliases are not taken"},
		{"wait: 1s\n---\nwait: 2s", "the file has a second document"},
		{"wait: *" + canary, "semel.yaml:1: this is not YAML"},
		{"wait: 1s\n\t" + canary, "semel.yaml:2: this is not YAML"},
		{"a: 'b" + canary, "this is not YAML"},
		{"effects:\n  charge:", "semel.yaml:2: effects.charge: it has no value"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: 1", "semel.yaml:5: effects.e.headers.A: it must be text"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: " + canary + "${NO_SUCH}", "semel.yaml:5: effects.e.headers.A: the variable NO_SUCH is not set"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: ${" + canary + "}", "semel.yaml:5: effects.e.headers.A: after ${ there must be the name of a variable"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: ${OPEN", "semel.yaml:5: effects.e.headers.A: after ${"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: \"" + canary + "\\n\"", "semel.yaml:5: effects.e.headers.A: its value contains a line break"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: ' '", "semel.yaml:5: effects.e.headers.A: its value is empty"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      Idempotency-Key: " + canary, "semel.yaml:5: effects.e.headers.Idempotency-Key: it is set by Semel"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A.b c: " + canary, "semel.yaml:5: effects.e.headers.A.b c: it is not the name of a header"},
		{"effects:\n  e:\n    url: http://x\n    headers:\n      A: a\n      a: " + canary, "semel.yaml:6: effects.e.headers.a: the header is there twice"},
		{"effects:\n  e:\n    url: " + canary, "semel.yaml:3: effects.e.url: it must begin with https:// or http://"},
		{"effects:\n  e:\n    method: POST", "semel.yaml:2: effects.e: it has no url"},
		{"effects:\n  e: {url: 'http://x', attempts: -1}", "semel.yaml:2: effects.e.attempts: it is -1"},
		{"effects:\n  e: {url: 'http://x', timeout: -1s}", "semel.yaml:2: effects.e.timeout: it is -1s"},
		{"effects:\n  e: {url: 'http://x', policy: probe, probe_url: " + canary + "}", "semel.yaml:2: effects.e.probe_url: it must"},
		{"wait: 0s", "semel.yaml:1: wait: it is 0s; it must be positive"},
		{"max_attempts: -3", "semel.yaml:1: max_attempts: it is -3; it must be positive"},
		{"memtable_bytes: 1KiB", "semel.yaml:1: memtable_bytes: it is 1KiB; choose"},
		{"log: {level: loud}", "semel.yaml:1: log.level: \"loud\" is no level"},
		{"log: {level: info+2}", "is no level"},
		{"log:\n  format: xml", "semel.yaml:2: log.format: \"xml\" is no format"},
		{"otlp: {endpoint: collector}", "semel.yaml:1: otlp.endpoint: it must be an http or https URL"},
		{"data: ''", "semel.yaml:1: data: it is empty"},
		{"listen: nonsense", "give HOST:PORT"},
		{"auth:\n  principals:\n  - name: a\n    roles: [" + canary + "]\n    tokens: [" + server.HashToken("x") + "]", "semel.yaml:4: auth.principals[0].roles: there is no such role"},
		{"auth:\n  principals:\n  - name: a\n    tokens: [" + server.HashToken("x") + "]", "semel.yaml:3: auth.principals[0].roles: no role is given"},
		{"auth:\n  principals:\n  - name: a\n    roles: [call]\n    tokens:\n    - " + server.HashToken("x") + "\n    - " + canary, "semel.yaml:7: auth.principals[0].tokens[1]: it does not begin with sha256:"},
		{"auth:\n  principals:\n  - {name: a, roles: [call], tokens: [" + server.HashToken("x") + "]}\n  - name: b\n    roles: [call]\n    tokens: [" + server.HashToken("x") + "]", "semel.yaml:6: auth.principals[1].tokens[0]: principal 1 has the same token"},
		{"auth:\n  principals:\n  - {name: a, roles: [call], tokens: [" + server.HashToken("x") + "]}\n  - name: a\n    roles: [call]\n    tokens: [" + server.HashToken("y") + "]", "semel.yaml:4: auth.principals[1]: \"a\" of tenant \"default\" is principal 1 already"},
		{"tls:\n  cert: a.pem", "semel.yaml:2: tls.key: it is missing"},
		{"tls:\n  key: a.pem", "semel.yaml:2: tls.cert: it is missing"},
		{"tls: {cert: /no/such, key: /no/such/either}", "semel.yaml:1: tls.cert: /no/such cannot be read"},
		{strings.Repeat("# long\n", 1<<20/6), "more than 1MiB"},
	} {
		_, err := configure(t.Context(), sourceOf(t, c.text, nil))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200q:\n got %v\nwant %s", c.text, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "sha256:"+server.HashToken("x")[7:20]) {
			t.Errorf("%q: a secret is in the error: %v", c.text, err)
		}
		if n := len(regexp.MustCompile(`(?m)^  `).FindAllString(err.Error(), -1)); n != 1 && !strings.HasPrefix(c.text, "tls: {cert: /no") {
			t.Errorf("%.200q: %d problems are told, not one: %v", c.text, n, err)
		}
	}
}

// A header is looked at as it is sent, with its variables in it.
func TestHeaderFromAVariableIsChecked(t *testing.T) {
	t.Parallel()
	const text = "effects:\n  e:\n    url: http://x\n    headers:\n      A: Bearer ${T}\n"
	_, err := configure(t.Context(), sourceOf(t, text, []string{"T=" + canary + "\n"}))
	if err == nil || !strings.Contains(err.Error(), "semel.yaml:5: effects.e.headers.A: its value contains a line break") || strings.Contains(err.Error(), canary) {
		t.Error(err)
	}
	if _, err := configure(t.Context(), sourceOf(t, text, []string{"T=" + canary})); err != nil {
		t.Error(err)
	}
}

func TestVariableAndFlagProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, arg, want string }{
		{"SEMEL_WAIT=x", "", "SEMEL_WAIT: wait: it must be a time"},
		{"SEMEL_WAIT=0s", "", "SEMEL_WAIT: wait: it is 0s"},
		{"SEMEL_PROXY_TLS=1", "", "SEMEL_PROXY_TLS: proxy_tls: it must be true or false"},
		{"", "--wait=-1s", "--wait: wait: it is -1s"},
		{"SEMEL_LISTEN=0.0.0.0:1", "", "SEMEL_LISTEN: listen: 0.0.0.0:1 can be reached"},
		{"SEMEL_CONFIG=/no/such/file", "", "/no/such/file: the configuration file cannot be read: no such file"},
	} {
		var args []string
		if c.arg != "" {
			args = append(args, c.arg)
		}
		_, err := configure(t.Context(), sourceOf(t, "", []string{c.env}, args...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// What others put into the environment does not keep the server from starting.
func TestUnknownVariablesAreWarnedOf(t *testing.T) {
	t.Parallel()
	l := mustLoad(t, sourceOf(t, "", []string{"SEMEL_PORT=tcp://10.0.0.1:80", "SEMEL_SERVICE_HOST=10.0.0.1", "SEMEL_TOKEN=" + canary, "SEMEL_LISEN=" + canary}))
	if len(l.warnings) != 1 || l.warnings[0].From != "SEMEL_LISEN" || !strings.Contains(l.warnings[0].Text, "SEMEL_LISTEN") || strings.Contains(l.warnings[0].String(), canary) {
		t.Error(l.warnings)
	}
}

// All that is wrong is said at once, in the order of the file.
func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := configure(t.Context(), sourceOf(t, "wait: 0s\nlisen: x\nskew: 1\nlog:\n  level: loud\n  fromat: x\n", []string{"SEMEL_RETENTION=x"}))
	var bad problems
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range bad {
		got = append(got, p.Key)
	}
	if want := []string{"wait", "lisen", "skew", "log.level", "log.fromat", "retention"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// FAULTS 67.
func TestExposure(t *testing.T) {
	t.Parallel()
	cert, key := writeCertificate(t, t.TempDir(), "one")
	auth := "auth: {principals: [{name: a, roles: [call], tokens: [" + server.HashToken("x") + "]}]}\n"
	tlsText := "tls: {cert: " + cert + ", key: " + key + "}\n"
	const noAuth, noTLS = "callers are not authenticated", "nothing is encrypted"
	for _, c := range []struct {
		text string
		want []string
	}{
		{"listen: 127.0.0.1:0", nil},
		{"listen: '[::1]:0'", nil},
		{"listen: localhost:0", nil},
		{"listen: '[::ffff:127.0.0.1]:0'", nil},
		{"listen: 0.0.0.0:0", []string{noAuth, noTLS}},
		{"listen: ':0'", []string{noAuth, noTLS}},
		{"listen: '[::]:0'", []string{noAuth, noTLS}},
		{"listen: 192.0.2.1:80", []string{noAuth, noTLS}},
		{"listen: no-such-host.invalid:80", []string{noAuth, noTLS}},
		{"listen: 0.0.0.0:0\n" + auth, []string{noTLS}},
		{"listen: 0.0.0.0:0\n" + tlsText, []string{noAuth}},
		{"listen: 0.0.0.0:0\nproxy_tls: true", []string{noAuth}},
		{"listen: 0.0.0.0:0\nauth: {principals: []}\nproxy_tls: true", []string{noAuth}},
		{"listen: 0.0.0.0:0\n" + auth + tlsText, nil},
		{"listen: 0.0.0.0:0\nproxy_tls: true\n" + auth, nil},
		{"listen: 0.0.0.0:0\ninsecure_public: true", nil},
	} {
		_, err := configure(t.Context(), sourceOf(t, c.text, nil))
		if (err != nil) != (c.want != nil) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		for _, part := range []string{noAuth, noTLS} {
			if said := err != nil && strings.Contains(err.Error(), part); said != slices.Contains(c.want, part) {
				t.Errorf("%q: %v", c.text, err)
			}
		}
	}
	// A name that became another address since the check.
	l := mustLoad(t, sourceOf(t, "listen: 0.0.0.0:0", nil))
	if listener, err := listen(t.Context(), l); listener != nil || !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), noAuth) {
		t.Errorf("%v, %v", listener, err)
	}
}

func TestHeadersAreExpanded(t *testing.T) {
	t.Parallel()
	l, err := configure(t.Context(), sourceOf(t, "effects:\n  e:\n    url: http://x\n    headers: {A: 'Bearer ${T}/${U_2}', B: '$5 {x} $T $'}\n", []string{"T=first", "T=t", "U_2=${T}"}))
	if err != nil {
		t.Fatal(err)
	}
	if h := l.Effects["e"].Headers; h["A"] != "Bearer t/${T}" || h["B"] != "$5 {x} $T $" {
		t.Errorf("%q %q", string(h["A"]), string(h["B"]))
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]size{"0": 0, "1": 1, "64MiB": 64 << 20, "64 MiB": 64 << 20, "1KiB": 1024, "2GiB": 2 << 30} {
		if s, err := parseSize(text); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		if again, err := parseSize(want.String()); err != nil || again != want {
			t.Errorf("%v: %d, %v", want, again, err)
		}
	}
	for _, text := range []string{"", "MiB", "1M", "1mib", "1MB", "-1", "1.5MiB", "8589934592GiB", "1TiB", "0x10"} {
		if s, err := parseSize(text); err == nil {
			t.Errorf("%q: %d", text, s)
		}
	}
}
