package outbound

import (
	"errors"
	"net/netip"
	"testing"
)

// FAULTS 62: where an effect may not connect to, in every spelling.
func TestPublic(t *testing.T) {
	t.Parallel()
	for _, a := range []string{
		"8.8.8.8", "1.1.1.1", "11.0.0.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.0.1", "223.255.255.255",
		"2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	} {
		if !Public(netip.MustParseAddr(a)) {
			t.Errorf("%s is refused", a)
		}
	}
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "100.100.100.200", "127.0.0.1", "127.9.9.9",
		"169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
		"64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1", "2001::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1",
	} {
		if Public(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
}

func TestRefusePrivate(t *testing.T) {
	t.Parallel()
	if err := RefusePrivate("tcp4", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
	var private *PrivateError
	if err := RefusePrivate("tcp6", "[::ffff:10.0.0.1]:443", nil); !errors.As(err, &private) {
		t.Error(err)
	}
	for _, odd := range []string{"", "host:443", "8.8.8.8"} {
		if err := RefusePrivate("tcp", odd, nil); err == nil {
			t.Errorf("%q is dialled", odd)
		}
	}
}
