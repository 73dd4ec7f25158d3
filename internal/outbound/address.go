package outbound

import (
	"fmt"
	"net/netip"
	"syscall"
)

// PrivateError refuses an address.
type PrivateError struct{ addr netip.Addr }

// Error implements error.
func (e *PrivateError) Error() string {
	return fmt.Sprintf("%s is not a public address; if it is meant, set allow_private: true", e.addr)
}

// RefusePrivate is a net.Dialer's Control: it sees the address that is about to
// be connected, after the name was resolved. A check of the name, or of an
// address that was looked up before, would be passed by a name that resolves to
// something else the second time (DNS rebinding).
func RefusePrivate(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q is not understood, so it is not dialled", address)
	}
	if !Public(a.Addr()) {
		return &PrivateError{a.Addr()}
	}
	return nil
}

// notPublic are the blocks of IPv4 that are not for the public Internet (IANA's
// registry of special-purpose addresses), and single addresses within it where
// clouds keep what only a machine's own programs may ask.
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's platform, in a public block
)

var (
	// publicV6 is all of IPv6 that is assigned for the public Internet, but for
	// the blocks of notPublicV6. All else (loopback, mapped, unique local,
	// link-local, multicast, whatever is still to come) is outside of it.
	publicV6    = netip.MustParsePrefix("2000::/3")
	notPublicV6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
	// nat64 carries an IPv4 address in its last four bytes, which counts.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// Public says whether an address belongs to the public Internet. An IPv4 address
// that is written as an IPv6 one is judged as what it is.
func Public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is4() {
		return !within(notPublic, a)
	}
	return publicV6.Contains(a) && !within(notPublicV6, a)
}

func within(blocks []netip.Prefix, a netip.Addr) bool {
	for _, p := range blocks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func prefixes(all ...string) []netip.Prefix {
	p := make([]netip.Prefix, len(all))
	for i, s := range all {
		p[i] = netip.MustParsePrefix(s)
	}
	return p
}
