package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/webeffect"
)

// usable is a configuration that was checked, with what the check had to make.
type usable struct {
	*loaded
	auth server.Authenticator // nil without principals
	cert *certificate         // nil without TLS
}

// configure loads and checks a configuration. Its error has every problem.
func configure(ctx context.Context, s source) (*usable, error) {
	l, bad := s.load()
	u := l.check(ctx, &bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return u, nil
}

// check finds what is wrong with the meaning. It asks the resolver about a
// listening name, and reads the files of TLS.
func (l *loaded) check(ctx context.Context, bad *problems) *usable {
	u := &usable{loaded: l}
	form := slices.Clone(*bad)
	defer func() { *bad = append(form, consequences(form, (*bad)[len(form):])...) }()
	l.expandParts(bad)
	l.checkValues(bad)
	l.checkEffects(bad)
	l.checkHeaders(l.expandHeaders(bad), bad)
	l.checkSagas(bad)
	l.checkParticipants(bad)
	before := len(*bad)
	u.auth = l.principals(bad)
	u.cert = l.certificate(bad)
	// A table that is wrong is no reason to say that there is none.
	if len(*bad) == before {
		l.checkExposure(ctx, bad)
	}
	return u
}

// consequences drops, of what is wrong with the meaning, what comes of a mistake
// in the form of the same principal, effect or key: a misspelt "token" is a
// principal without tokens, and saying so would not help.
func consequences(form, meaning problems) problems {
	return slices.DeleteFunc(meaning, func(m problem) bool {
		part := partOf(m.Key)
		return slices.ContainsFunc(form, func(f problem) bool { return f.Key != "" && partOf(f.Key) == part })
	})
}

// partOf is the principal, the effect, the saga or the participant that a key is about, else the
// key without the index of a list.
func partOf(key string) string {
	for _, table := range []string{"effects.", "sagas.", "participants."} {
		if rest, ok := strings.CutPrefix(key, table); ok {
			name, _, _ := strings.Cut(rest, ".")
			return table + name
		}
	}
	if at, _, ok := strings.Cut(key, "]"); ok && strings.HasPrefix(key, "auth.") {
		return at
	}
	at, _, _ := strings.Cut(key, "[")
	return at
}

// checkStore looks at what a server needs that shares a database.
func (l *loaded) checkStore(refuse func(path, format string, args ...any)) {
	if len(l.Store.Parts) > 0 {
		l.checkParts(refuse)
	} else if !isDatabase(string(l.Store.URL)) {
		refuse("store.url", notDatabase)
	}
	if l.Store.Lease < time.Second || l.Store.Lease > 5*time.Minute {
		refuse("store.lease", "it is %v; choose 1s to 5m", l.Store.Lease)
	}
	if len(l.Node.Secret) < minNodeSecret {
		refuse("node.secret", "it needs %d characters or more: whoever knows it may do anything; all servers of the database have the same", minNodeSecret)
	}
	if a := l.Node.Address; a != "" && !isHTTPURL(a) {
		refuse("node.address", "%q is no http or https URL", a)
	}
	if host, _, err := net.SplitHostPort(l.Listen); err == nil && l.Node.Address == "" {
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			refuse("node.address", "it is needed, because listen (%s) does not say where the other servers reach this one", l.Listen)
		}
	}
}

// minNodeSecret keeps a secret from being guessed.
const minNodeSecret = 16

func (l *loaded) checkValues(bad *problems) {
	refuse := func(path, format string, args ...any) {
		bad.add(l.where(path), path, format, args...)
	}
	for _, path := range []string{"wait", "retention", "skew", "max_body", "max_state", "max_in_flight", "max_attempts", "effects_running", "cache_bytes"} {
		v := setting{path: path}.of(&l.config)
		if v.Int() <= 0 {
			refuse(path, "it is %s; it must be positive", formatText(v.Interface()))
		}
	}
	if l.MemtableBytes < 64<<10 || l.MemtableBytes > 1<<30 {
		refuse("memtable_bytes", "it is %v; choose 64KiB to 1GiB", l.MemtableBytes)
	}
	if l.Data == "" {
		refuse("data", "it is empty; name the directory")
	}
	if l.shared() {
		l.checkStore(refuse)
	}
	if _, _, err := net.SplitHostPort(l.Listen); err != nil {
		refuse("listen", "%q is no address; give HOST:PORT", l.Listen)
	}
	if slices.Contains(l.Hosts, "") {
		refuse("hosts", "a name is empty")
	}
	if new(slog.Level).UnmarshalText([]byte(l.Log.Level)) != nil || strings.ContainsAny(l.Log.Level, "+-") {
		refuse("log.level", "%q is no level; choose debug, info, warn or error", l.Log.Level)
	}
	if l.Log.Format != "text" && l.Log.Format != "json" {
		refuse("log.format", "%q is no format; choose text or json", l.Log.Format)
	}
	if e := l.OTLP.Endpoint; e != "" && !isHTTPURL(e) {
		refuse("otlp.endpoint", "it must be an http or https URL")
	}
}

// checkEffects looks at what can be said without knowing how effects are
// called. No value is quoted: each may be a secret in the wrong place.
func (l *loaded) checkEffects(bad *problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Effects)) {
		e := l.Effects[name]
		if err := message.CheckName("effect's name", name); err != nil {
			bad.add(l.where("effects"), "effects", "%v", err)
		}
		if e.URL == "" {
			bad.add(l.where("effects."+name), "effects."+name, "it has no url; say where its requests are sent")
			continue
		}
		spec := e.spec()
		spec.Headers = nil // checkHeaders looks at them, once they are expanded
		for _, err := range unjoin(webeffect.Check(map[string]webeffect.Spec{name: spec})) {
			var field *webeffect.FieldError
			path := "effects." + name
			if errors.As(err, &field) {
				path, err = field.Field, field.Err
			}
			bad.add(l.where(path), path, "%v", err)
		}
	}
}

// checkHeaders looks at the headers as they are sent, which serve would refuse
// otherwise. Those of which no value came about (failed, by their paths) were
// told before.
func (l *loaded) checkHeaders(failed map[string]bool, bad *problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Effects)) {
		spec := l.Effects[name].spec()
		at := "effects." + name + ".headers."
		maps.DeleteFunc(spec.Headers, func(header, _ string) bool { return failed[at+header] })
		for _, err := range unjoin(webeffect.Check(map[string]webeffect.Spec{name: spec})) {
			var field *webeffect.FieldError
			if !errors.As(err, &field) {
				continue
			}
			quoted, ok := strings.CutPrefix(field.Field, at)
			if !ok {
				continue // checkEffects tells it
			}
			path := field.Field
			if header, err := strconv.Unquote(quoted); err == nil {
				path = at + header
			}
			bad.add(l.where(path), path, "%v", field.Err)
		}
	}
}

// unjoin is the errors that errors.Join made one of.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// isHTTPURL takes a template as well: {key} in a path, say.
func isHTTPURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// principals makes the table of who may call; nil if everyone may.
func (l *loaded) principals(bad *problems) server.Authenticator {
	if len(l.Auth.Principals) == 0 {
		return nil
	}
	var list []server.TokenPrincipal
	for i, p := range l.Auth.Principals {
		at := fmt.Sprintf("auth.principals[%d]", i)
		roles, err := server.ParseRoles(p.Roles)
		if err != nil {
			bad.add(l.where(at+".roles"), at+".roles", "%v", err)
			roles = server.RoleCall // said once
		}
		tp := server.TokenPrincipal{Principal: server.Principal{Tenant: p.Tenant, Name: p.Name, Roles: roles}}
		for _, hash := range p.Tokens {
			tp.Tokens = append(tp.Tokens, string(hash))
		}
		list = append(list, tp)
	}
	table, err := server.NewTokens(list)
	if err != nil {
		for _, err := range joined(err) {
			var t *server.TokenError
			if !errors.As(err, &t) {
				bad.add(l.where("auth"), "auth.principals", "%v", err)
				continue
			}
			at := fmt.Sprintf("auth.principals[%d]", t.Principal)
			if t.Token >= 0 {
				at += fmt.Sprintf(".tokens[%d]", t.Token)
			}
			bad.add(l.where(at), at, "%v", t.Err)
		}
		return nil
	}
	return table
}

// joined takes apart what errors.Join put together.
func joined(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// checkExposure refuses an address that other machines can reach unless callers
// are authenticated and what they send is encrypted (FAULTS 67).
func (l *loaded) checkExposure(ctx context.Context, bad *problems) {
	host, _, err := net.SplitHostPort(l.Listen)
	if err != nil || l.InsecurePublic || loopback(ctx, host) {
		return
	}
	if missing := l.unprotected(); missing != "" {
		bad.add(l.where("listen"), "listen", "%s can be reached from other machines, and %s; or listen on 127.0.0.1; or accept the risk with --insecure-public", l.Listen, missing)
	}
}

// unprotected says what a public server lacks, and how to give it that.
func (l *loaded) unprotected() string {
	var missing []string
	if len(l.Auth.Principals) == 0 {
		missing = append(missing, "callers are not authenticated: list them in auth.principals")
	}
	if l.TLS.Cert == "" && !l.ProxyTLS {
		missing = append(missing, "nothing is encrypted: give tls.cert and tls.key, or say with proxy_tls that a proxy in front does it")
	}
	return strings.Join(missing, ", and ")
}
