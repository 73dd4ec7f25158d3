package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// listen opens the address. One that other machines can reach is refused
// unless public says otherwise: nothing authenticates a caller (FAULTS 67).
func listen(ctx context.Context, address string, public bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen %q: %w; give HOST:PORT", address, err)}
	}
	if !public && !loopback(ctx, host) {
		return nil, usageError{fmt.Errorf("--listen %s can be reached from other machines, and this server does not authenticate its callers: listen on 127.0.0.1 behind something that does, or accept the risk with --insecure-public", address)}
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
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
func baseURL(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "http://" + l.Addr().String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
