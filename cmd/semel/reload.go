package main

import (
	"context"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/semel-dev/semel/server"
)

// live is what can be replaced while the server runs: who may call, and the
// certificate. Everything else is built into the store and the server when they
// start. One goroutine reloads; readers never wait.
type live struct {
	source  source
	running config // with what was reloaded since the start
	auth    *server.Reloadable
	certs   *certificates // nil without TLS
	log     *slog.Logger
}

// newLive begins with what the server starts with.
func newLive(s source, u *usable, log *slog.Logger) *live {
	v := &live{source: s, running: u.config, auth: server.NewReloadable(server.Anonymous), log: log}
	if u.auth != nil {
		v.auth.Set(u.auth)
	}
	if u.cert != nil {
		v.certs = new(certificates)
		v.show(u.cert)
	}
	return v
}

// run reloads for each signal, until ctx ends.
func (v *live) run(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			v.reload(ctx)
		}
	}
}

// reload takes all of the new configuration that can be taken, or, if anything
// in it is wrong, nothing: half of a change is what nobody meant.
func (v *live) reload(ctx context.Context) {
	u, err := configure(ctx, v.source)
	if err != nil {
		v.log.Error("the configuration was not reloaded; the old one stays in use", "error", err)
		return
	}
	// A file that is being written is empty for a moment; a server that was
	// closed does not open because of that.
	if u.auth == nil && len(v.running.Auth.Principals) > 0 {
		v.log.Error("the configuration was not reloaded; the old one stays in use", "error", "auth.principals has none any more: to serve without authentication, restart")
		return
	}
	if v.certs != nil && u.cert == nil {
		v.log.Error("the configuration was not reloaded; the old one stays in use", "error", "tls.cert and tls.key are gone: to serve without TLS, restart")
		return
	}
	if u.auth != nil {
		v.auth.Set(u.auth)
	}
	if v.certs != nil {
		v.show(u.cert)
	}
	if keys := needRestart(&v.running, &u.config); len(keys) > 0 {
		v.log.Warn("what has changed besides takes effect with a restart", "keys", strings.Join(keys, ","))
	}
	v.running.Auth = u.Auth
	if v.certs != nil {
		v.running.TLS = u.TLS
	}
	v.log.Info("reloaded", "principals", len(u.Auth.Principals), "tls", v.certs != nil)
}

func (v *live) show(c *certificate) {
	v.certs.current.Store(c)
	if why := c.expired(time.Now()); why != "" {
		v.log.Warn("clients will not accept the certificate", "reason", why)
	}
}

// needRestart lists the keys that differ and are not reloaded.
func needRestart(running, wanted *config) []string {
	var keys []string
	for _, s := range settings {
		if strings.HasPrefix(s.path, "tls.") && running.TLS != (tlsConfig{}) {
			continue
		}
		if formatText(s.of(running).Interface()) != formatText(s.of(wanted).Interface()) {
			keys = append(keys, s.path)
		}
	}
	if len(running.Effects)+len(wanted.Effects) > 0 && !reflect.DeepEqual(running.Effects, wanted.Effects) {
		keys = append(keys, "effects")
	}
	return keys
}
