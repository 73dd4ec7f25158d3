package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// listen opens the address of a configuration that was checked. A name was
// resolved for the check, and is resolved again here; so what it became now is
// looked at once more.
func listen(ctx context.Context, l *loaded) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", l.Listen)
	if err != nil {
		return nil, err
	}
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if missing := l.unprotected(); missing != "" && !l.InsecurePublic && !(ok && tcp.IP.IsLoopback()) {
		err := fmt.Errorf("listen: %s is %s, which can be reached from other machines, and %s; or accept the risk with --insecure-public", l.Listen, listener.Addr(), missing)
		return nil, usageError{errors.Join(err, listener.Close())}
	}
	return listener, nil
}

// loopback says whether a host is only this machine. A name counts if all of
// its addresses do.
func loopback(ctx context.Context, host string) bool {
	if host == "" {
		return false // every interface
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(ips) == 0 {
		return false
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			return false
		}
	}
	return true
}

// baseURL is how a client on this machine reaches the listener.
func baseURL(l net.Listener, encrypted bool) string {
	scheme := "http://"
	if encrypted {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return scheme + l.Addr().String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}
