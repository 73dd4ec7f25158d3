package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// A key is the same in both of its spellings, or refused: what is taken can be
// sent again as a string of RFC 8941, and names the same request.
func FuzzKeyHeader(f *testing.F) {
	for _, s := range []string{`k1`, `"k1"`, `"a\"b\\c"`, `"open`, `"a";p=1`, ` "k" `, `"a\x"`, "ü", `""`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, given, err := keyOf(http.Header{keyHeader: {value}})
		if !given {
			t.Fatalf("%q is no key", value)
		}
		if err != nil {
			return
		}
		if message.CheckKey(key) != nil {
			t.Errorf("%q is taken as the key %q", value, key)
		}
		if strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			return // cannot be a string of RFC 8941
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, _, err := keyOf(http.Header{keyHeader: {quoted}}); err != nil || again != key {
			t.Errorf("%q is the key %q, and %q is %q, %v", value, key, quoted, again, err)
		}
		if _, _, err := keyOf(http.Header{keyHeader: {value, value}}); err == nil {
			t.Errorf("two headers with %q are taken", value)
		}
	})
}

// A preference waits within the bounds, and says respond-async only if it does.
func FuzzPrefer(f *testing.F) {
	for _, s := range []string{"wait=1", "respond-async, wait=10", "wait=99999999999", `wait="5";x=y`, "wait=0", "Respond-Async", "wait=-1", ",,=,", "wait=1, wait=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p := preferenceOf(http.Header{"Prefer": {value}})
		if p.wait != 0 && (p.wait < time.Second || p.wait > maxWait || p.wait%time.Second != 0) {
			t.Errorf("%q waits %v", value, p.wait)
		}
		if p.async && !strings.Contains(strings.ToLower(value), "respond-async") {
			t.Errorf("%q is to be answered at once", value)
		}
		if twice := preferenceOf(http.Header{"Prefer": {value, value}}); twice != p {
			t.Errorf("%q means %+v, and twice %+v", value, p, twice)
		}
	})
}

// A token is a bearer token of a sensible length, and what is configured is the
// hash of one, in one spelling of its digits.
func FuzzToken(f *testing.F) {
	const canary = "-canary-" // which no error may repeat
	token := NewToken()
	f.Add("Bearer "+token, HashToken(token))
	f.Add("bearer  x", "sha256:00")
	f.Add("Basic eDp5", token)
	f.Add("Bearer", HashToken(""))
	f.Fuzz(func(t *testing.T, header, hash string) {
		got, err := bearer(http.Header{"Authorization": {header}})
		switch {
		case err != nil && (!errors.Is(err, ErrUnauthorized) || got != ""):
			t.Errorf("%q: %q, %v", header, got, err)
		case err == nil && (len(got) < minTokenBytes || len(got) > maxTokenBytes || !strings.HasSuffix(header, got)):
			t.Errorf("%q has the token %q", header, got)
		}
		if _, err := bearer(http.Header{"Authorization": {header + canary}}); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the refusal repeats what was sent: %v", err)
		}
		if _, err := parseHash(hash + canary); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("a hash with something behind it: %v", err)
		}
		h, err := parseHash(hash)
		if err != nil {
			return
		}
		tokens := Tokens{byHash: map[[32]byte]Principal{h: anyone}}
		req := &http.Request{Header: http.Header{"Authorization": {header}}}
		if who, err := tokens.Authenticate(req); err == nil && (who != anyone || !strings.EqualFold(HashToken(got), hash)) {
			t.Errorf("%q is let in by %q", header, hash)
		}
	})
}

// FAULTS 66: a name that is let in on the loopback address is this machine's,
// by whatever rules it is taken apart.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost:7075", "127.0.0.1", "[::1]:80", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "[::ffff:127.0.0.1]", "localhost.", "0x7f.1", "LOCALHOST", "a@localhost", "localhost:80:80"} {
		f.Add(s)
	}
	s := new(api)
	f.Fuzz(func(t *testing.T, host string) {
		if !s.ownHost(hostname(host)) {
			return
		}
		u, err := url.Parse("http://" + host + "/")
		if err != nil || u.Hostname() == "" || u.User != nil || strings.Count(host, ":") > 1 && host[0] != '[' {
			return // no browser has such a place, or sends it so
		}
		name := strings.TrimSuffix(u.Hostname(), ".")
		ip, err := netip.ParseAddr(name)
		if !strings.EqualFold(name, "localhost") && (err != nil || !ip.Unmap().IsLoopback()) {
			t.Errorf("%q is let in, and a browser goes to %q", host, name)
		}
	})
}

// A batch is read call for call, or refused; members in another case, twice or
// unknown would be two meanings of one call.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{`[]`, `[{"agent":"a/b","action":"c","key":"k","body":{"x":1e2}}]`, `[{"Agent":"a/b"}]`, `[{"key":"a","key":"b"}]`, `[[]]`, `[null]`, `[{"agent":"a/b"},3]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var doc callDoc
		_ = readDocument(b, &doc) // the object form
		if rest := bytes.TrimLeft(b, " \t\r\n"); len(rest) == 0 || rest[0] != '[' {
			return // such a body is no batch
		}
		docs, err := readBatch(b)
		if err != nil {
			return
		}
		var all []map[string]json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil || len(all) != len(docs) || len(docs) > maxBatch {
			t.Fatalf("%q is a batch of %d calls, and of %d: %v", b, len(docs), len(all), err)
		}
		for i, one := range all {
			for name := range one {
				if name != "agent" && name != "action" && name != "key" && name != "body" {
					t.Errorf("%q: call %d has a member %q", b, i, name)
				}
			}
			if key, given := one["key"]; given && string(key) != "null" {
				var want string
				if err := json.Unmarshal(key, &want); err != nil || docs[i].Key == nil || *docs[i].Key != want {
					t.Errorf("%q: call %d has the key %v, not %q", b, i, docs[i].Key, want)
				}
			}
			if body := one["body"]; !bytes.Equal(docs[i].Body, body) {
				t.Errorf("%q: call %d has the body %q, not %q", b, i, docs[i].Body, body)
			}
		}
	})
}

// A page has a limit within its bounds, or is refused.
func FuzzPage(f *testing.F) {
	for _, s := range []string{"", "limit=10", "limit=", "limit=0", "limit=1001", "limit=1&limit=2000", "limit=+5", "cursor=x", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		limit, after, err := pageOf(&http.Request{URL: &url.URL{RawQuery: query}})
		switch {
		case err != nil && (limit != 0 || after != nil):
			t.Errorf("%q: %d beside %v", query, limit, err)
		case err == nil && (limit < 1 || limit > pageMax || after == nil):
			t.Errorf("%q: a page of %d", query, limit)
		}
	})
}
