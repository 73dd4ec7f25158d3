package webeffect

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// What a provider answered is JSON in the outcome, and nothing of it is lost.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"", `{"a":1}`, "12", "12 ", "plain", "\xff\x00", `"\u003c"`, "<b>", " {} ", "nul", "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reply := asJSON(body)
		switch {
		case len(body) == 0:
			if reply != nil {
				t.Errorf("nothing is told as %q", reply)
			}
		case !json.Valid(reply) || !utf8.Valid(reply):
			t.Errorf("%q is told as %q, which is no JSON", body, reply)
		case json.Valid(body) && utf8.Valid(body):
			if !bytes.Equal(reply, body) {
				t.Errorf("%q is told as %q", body, reply)
			}
		case utf8.Valid(body):
			var text string
			if err := json.Unmarshal(reply, &text); err != nil || text != string(body) {
				t.Errorf("%q is told as %q, which is %q", body, reply, text)
			}
		default:
			var doc struct {
				Base64 []byte `json:"base64"`
			}
			if err := json.Unmarshal(reply, &doc); err != nil || !bytes.Equal(doc.Base64, body) {
				t.Errorf("%q is told as %q, which is %q", body, reply, doc.Base64)
			}
		}
		var r Refusal
		if err := json.Unmarshal(refusal(402, body), &r); err != nil || r.Status != 402 {
			t.Errorf("%q in a refusal: %v, %+v", body, err, r)
		} else if reply != nil && !bytes.Equal(r.Body, bytes.TrimSpace(reply)) {
			t.Errorf("%q is told as %q in a refusal, and as %q in a reply", body, r.Body, reply)
		}
	})
}

// A body that says itself where it ends has no beginning that says another
// thing: had the connection been cut there, nobody would know.
func FuzzSelfDelimiting(f *testing.F) {
	for _, s := range []string{"12", `"a"`, "{}", "[1,2]", "true", "-1", " null", "", "{} "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<10 || !selfDelimiting(body) {
			return
		}
		whole := bytes.TrimSpace(body)
		for cut := range body {
			if begin := bytes.TrimSpace(body[:cut]); json.Valid(begin) && !bytes.Equal(begin, whole) {
				t.Errorf("%q begins with %q, which is JSON", body, begin)
			}
		}
	})
}

// FAULTS 62: an address is judged as what it is, in whatever way it is written,
// and no way of writing makes it public.
func FuzzPublic(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "8.8.8.8", "169.254.169.254", "10.0.0.1", "168.63.129.16"} {
		a := netip.MustParseAddr(s).As4()
		f.Add(a[:], "80")
	}
	f.Add([]byte{0, 0, 0, 0}, "zone")
	f.Fuzz(func(t *testing.T, b []byte, port string) {
		switch len(b) {
		case 4:
			v4 := netip.AddrFrom4([4]byte(b))
			mapped, nat := v4.As16(), [16]byte{1: 0x64, 2: 0xff, 3: 0x9b}
			copy(nat[12:], b)
			want := public(v4)
			for _, a := range []netip.Addr{netip.AddrFrom16(mapped), netip.AddrFrom16(nat)} {
				if public(a) != want {
					t.Errorf("%v is public: %v, and %v: %v", v4, want, a, !want)
				}
			}
			if want && (v4.IsLoopback() || v4.IsPrivate() || v4.IsLinkLocalUnicast() || v4.IsMulticast() || v4.IsUnspecified()) {
				t.Errorf("%v is public", v4)
			}
		case 16:
			a := netip.AddrFrom16([16]byte(b))
			if public(a) && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()) {
				t.Errorf("%v is public", a)
			}
			if public(a.WithZone("x")) && a.Unmap().Is6() {
				t.Errorf("%v with a zone is public", a)
			}
		}
		if refusePrivate("tcp", string(b)+":"+port, nil) == nil {
			if a, err := netip.ParseAddrPort(string(b) + ":" + port); err != nil || !public(a.Addr()) {
				t.Errorf("%q is dialled", string(b)+":"+port)
			}
		}
	})
}

// What is taken as the URL of an effect is a place over HTTP, without secrets
// in it; what is said of one that is not does not repeat it.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://x/y", "http://u:p@x/", "ftp://x", "https://", "https://x:0/", "https://[::1]:80/{key}", "https://x/#f", "//x", "https:x", "http://x:99999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const canary = "-canary-" // as a secret in it
		if _, err := parseURL(s + canary); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error repeats what may be a secret: %v", err)
		}
		u, err := parseURL(s)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Errorf("%q is taken as %+v", s, u)
		}
		if a := address(u); !strings.Contains(a, ":") || strings.HasPrefix(a, ":") || strings.HasSuffix(a, ":") {
			t.Errorf("%q is dialled as %q", s, a)
		}
	})
}
