package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ownHosts keeps out a page of another site that reaches us through its
// visitor's browser by DNS rebinding: the site's name resolves to the loopback
// address, so for the browser we are that site, and Origin and Host agree. But
// Host has the site's name. So a connection to the loopback address, where no
// password protects us, must ask for a name that only this machine has, or for
// one of Options.Hosts.
//
// A request without Host is let through: it is of HTTP/1.0, and of no browser.
func (s *api) ownHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && overLoopback(r) && !s.ownHost(hostname(r.Host)) {
			s.refuse(w, codeMisdirected, fmt.Sprintf("the request is for %q; on the loopback address this server answers for localhost, loopback addresses, and the names that its option --host allows", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *api) ownHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback() || s.allows(host)
	}
	return strings.EqualFold(host, "localhost") || s.allows(host)
}

func (s *api) allows(host string) bool {
	for _, h := range s.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// overLoopback says whether the connection came to a loopback address. One
// that came over no network, as in a test without one, did not.
func overLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// hostname is a Host without its port, brackets, and the dot that ends a name.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.TrimSuffix(host, ".")
}
