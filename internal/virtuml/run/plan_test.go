package run

import (
	"net/netip"
	"testing"
)

func TestParsePort(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	for text, want := range map[string]port{
		"8080:80":           {"tcp", netip.Addr{}, 8080, 80},
		"8080:80/tcp":       {"tcp", netip.Addr{}, 8080, 80},
		"53:53/udp":         {"udp", netip.Addr{}, 53, 53},
		"127.0.0.1:1:65535": {"tcp", loopback, 1, 65535},
		"[::1]:1:2/udp":     {"udp", netip.IPv6Loopback(), 1, 2},
	} {
		if got, err := parsePort(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "80", "80:", ":80", "0:80", "80:65536", "80:80/sctp", "80:80/", "x:80:80", ":80:80", "localhost:80:80", "-1:80"} {
		if got, err := parsePort(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
