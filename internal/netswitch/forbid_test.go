package netswitch

import (
	"net"
	"strings"
	"testing"
)

func TestForbid(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	s.Forbid(func(frame []byte) bool { return strings.HasSuffix(string(frame), "forbidden") })
	a, b := plug(t, s, PortConfig{Name: "a"}), plug(t, s, PortConfig{Name: "b"})
	up := plug(t, s, PortConfig{Name: "up", Uplink: true})
	apart, too := plug(t, s, PortConfig{Name: "apart", VLAN: 5}), plug(t, s, PortConfig{Name: "too", VLAN: 5})

	a.send(frame(everybody, 1, "forbidden"))
	b.silent()
	up.silent()
	if n := a.port.Counters().TxDropped; n != 1 {
		t.Errorf("%d frames are counted as dropped", n)
	}
	if p := s.Behind(net.HardwareAddr{2, 0, 0, 0, 0, 1}); p != nil {
		t.Errorf("the sender of a forbidden frame is known: %s", p.Config().Name)
	}
	a.send(frame(everybody, 1, "good"))
	b.expect(frame(everybody, 1, "good"))
	up.expect(frame(everybody, 1, "good"))
	if p := s.Behind(net.HardwareAddr{2, 0, 0, 0, 0, 1}); p != a.port {
		t.Error("the sender of a good frame is not known")
	}
	if s.Behind(net.HardwareAddr{2}) != nil || s.Behind(net.HardwareAddr{2, 0, 0, 0, 0, 9}) != nil {
		t.Error("a port is found for an address that nobody has used")
	}
	// An uplink is who it says, and other VLANs have no gateway.
	up.send(frame(everybody, 2, "forbidden"))
	a.expect(frame(everybody, 2, "forbidden"))
	apart.send(frame(everybody, 3, "forbidden"))
	too.expect(frame(everybody, 3, "forbidden"))
}
