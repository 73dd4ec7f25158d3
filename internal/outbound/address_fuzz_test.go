package outbound

import (
	"net/netip"
	"testing"
)

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
			want := Public(v4)
			for _, a := range []netip.Addr{netip.AddrFrom16(mapped), netip.AddrFrom16(nat)} {
				if Public(a) != want {
					t.Errorf("%v is public: %v, and %v: %v", v4, want, a, !want)
				}
			}
			if want && (v4.IsLoopback() || v4.IsPrivate() || v4.IsLinkLocalUnicast() || v4.IsMulticast() || v4.IsUnspecified()) {
				t.Errorf("%v is public", v4)
			}
		case 16:
			a := netip.AddrFrom16([16]byte(b))
			if Public(a) && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()) {
				t.Errorf("%v is public", a)
			}
			if Public(a.WithZone("x")) && a.Unmap().Is6() {
				t.Errorf("%v with a zone is public", a)
			}
		}
		if RefusePrivate("tcp", string(b)+":"+port, nil) == nil {
			if a, err := netip.ParseAddrPort(string(b) + ":" + port); err != nil || !Public(a.Addr()) {
				t.Errorf("%q is dialled", string(b)+":"+port)
			}
		}
	})
}
