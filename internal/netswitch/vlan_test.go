package netswitch

import (
	"testing"
)

// passed is what a port's device is given; nil for nothing.
func TestVLANs(t *testing.T) {
	t.Parallel()
	plain := frame(everybody, 1, "data")
	priority := uint16(5) << 13
	for _, tt := range []struct {
		name     string
		from, to PortConfig
		sent     []byte
		want     []byte
	}{
		{"same access", PortConfig{VLAN: 3}, PortConfig{VLAN: 3}, plain, plain},
		{"other access", PortConfig{VLAN: 3}, PortConfig{VLAN: 4}, plain, nil},
		{"access to the untagged one", PortConfig{VLAN: 3}, PortConfig{}, plain, nil},
		{"access to trunk", PortConfig{VLAN: 3}, PortConfig{Trunk: true}, plain, withTag(plain, 3)},
		{"access to trunk's own", PortConfig{VLAN: 3}, PortConfig{Trunk: true, VLAN: 3}, plain, plain},
		{"trunk to access", PortConfig{Trunk: true}, PortConfig{VLAN: 3}, withTag(plain, 3), plain},
		{"trunk to other access", PortConfig{Trunk: true}, PortConfig{VLAN: 4}, withTag(plain, 3), nil},
		{"trunk's own to access", PortConfig{Trunk: true, VLAN: 3}, PortConfig{VLAN: 3}, plain, plain},
		{"trunk's own, tagged", PortConfig{Trunk: true, VLAN: 3}, PortConfig{VLAN: 3}, withTag(plain, 3), plain},
		{"trunk to trunk", PortConfig{Trunk: true}, PortConfig{Trunk: true}, withTag(plain, 3|priority), withTag(plain, 3|priority)},
		{"trunk to trunk of that VLAN", PortConfig{Trunk: true}, PortConfig{Trunk: true, VLAN: 3}, withTag(plain, 3), plain},
		{"priority only", PortConfig{Trunk: true, VLAN: 3}, PortConfig{VLAN: 3}, withTag(plain, priority), plain},
		{"reserved", PortConfig{Trunk: true}, PortConfig{Trunk: true}, withTag(plain, vlanReserved), nil},
		{"own tags pass", PortConfig{}, PortConfig{}, withTag(plain, 3), withTag(plain, 3)},
		{"own tags stay in the VLAN", PortConfig{}, PortConfig{VLAN: 3}, withTag(plain, 3), nil},
		{"own tags get another", PortConfig{VLAN: 4}, PortConfig{Trunk: true}, withTag(plain, 3), withTag(withTag(plain, 3), 4)},
		{"own tags do not choose a trunk's VLAN", PortConfig{VLAN: 4}, PortConfig{Trunk: true, VLAN: 4}, withTag(plain, 3), nil},
		{"restricted trunk", PortConfig{Trunk: true, Tags: []uint16{2, 3}}, PortConfig{Trunk: true, Tags: []uint16{3}}, withTag(plain, 3), withTag(plain, 3)},
		{"from a trunk that has it not", PortConfig{Trunk: true, Tags: []uint16{2}}, PortConfig{VLAN: 3}, withTag(plain, 3), nil},
		{"to a trunk that has it not", PortConfig{VLAN: 3}, PortConfig{Trunk: true, Tags: []uint16{2}}, plain, nil},
		{"restricted trunk's own", PortConfig{Trunk: true, VLAN: 3, Tags: []uint16{2}}, PortConfig{VLAN: 3}, plain, plain},
		{"restricted trunk's own, tagged", PortConfig{Trunk: true, VLAN: 3, Tags: []uint16{2}}, PortConfig{VLAN: 3}, withTag(plain, 3), plain},
		{"to a restricted trunk's own", PortConfig{VLAN: 3}, PortConfig{Trunk: true, VLAN: 3, Tags: []uint16{2}}, plain, plain},
		{"untagged from a restricted trunk", PortConfig{Trunk: true, Tags: []uint16{2}}, PortConfig{}, plain, nil},
		{"priority from a restricted trunk", PortConfig{Trunk: true, Tags: []uint16{2}}, PortConfig{}, withTag(plain, priority), nil},
		{"untagged to a restricted trunk", PortConfig{}, PortConfig{Trunk: true, Tags: []uint16{2}}, plain, nil},
		{"cut tag", PortConfig{Trunk: true}, PortConfig{Trunk: true}, withTag(plain, 3)[:headerSize+2], nil},
		{"isolated", PortConfig{Isolated: true}, PortConfig{Isolated: true}, plain, nil},
		{"isolated to the others", PortConfig{Isolated: true}, PortConfig{}, plain, plain},
		{"the others to isolated", PortConfig{}, PortConfig{Isolated: true}, plain, plain},
		{"sender down", PortConfig{Down: true}, PortConfig{}, plain, nil},
		{"receiver down", PortConfig{}, PortConfig{Down: true}, plain, nil},
		{"all is lost on the way in", PortConfig{In: Shape{Loss: 1}}, PortConfig{}, plain, nil},
		{"all is lost on the way out", PortConfig{}, PortConfig{Out: Shape{Loss: 1}}, plain, nil},
		{"short", PortConfig{}, PortConfig{}, plain[:headerSize-1], nil},
		{"no payload", PortConfig{}, PortConfig{}, plain[:headerSize], plain[:headerSize]},
		{"largest", PortConfig{}, PortConfig{}, sized(MaxFrame), sized(MaxFrame)},
		{"largest with one more tag", PortConfig{VLAN: 2}, PortConfig{Trunk: true}, sized(MaxFrame), withTag(sized(MaxFrame), 2)},
		{"from a group", PortConfig{}, PortConfig{}, append(append(frame(2, 1, "")[:6:6], 1, 0, 0, 0, 0, 1), "xxxx"...), nil},
		{"from nobody", PortConfig{}, PortConfig{}, append(frame(2, 1, "")[:6:6], make([]byte, 20)...), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestSwitch(t)
			from, to := plug(t, s, tt.from), plug(t, s, tt.to)
			from.send(tt.sent)
			if tt.want == nil {
				to.silent()
				return
			}
			to.expect(tt.want)
			to.silent()
		})
	}
}

func sized(n int) []byte {
	return append(frame(everybody, 1, ""), make([]byte, n-headerSize)...)
}

// A frame may go to ports of all kinds at once.
func TestFloodInAllForms(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	from := plug(t, s, PortConfig{Name: "from", Trunk: true})
	access := plug(t, s, PortConfig{Name: "access", VLAN: 7})
	trunk := plug(t, s, PortConfig{Name: "trunk", Trunk: true})
	native := plug(t, s, PortConfig{Name: "native", Trunk: true, VLAN: 7})
	last := plug(t, s, PortConfig{Name: "last", VLAN: 7})
	plain := frame(everybody, 1, "data")
	from.send(withTag(plain, 7))
	access.expect(plain)
	trunk.expect(withTag(plain, 7))
	native.expect(plain)
	last.expect(plain)
}

// The same address in two VLANs is two stations.
func TestVLANsLearnApart(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a3, b3 := plug(t, s, PortConfig{Name: "a3", VLAN: 3}), plug(t, s, PortConfig{Name: "b3", VLAN: 3})
	a4, b4 := plug(t, s, PortConfig{Name: "a4", VLAN: 4}), plug(t, s, PortConfig{Name: "b4", VLAN: 4})
	b3.send(frame(9, 1, "here"))
	a3.expect(frame(9, 1, "here"))
	b4.send(frame(9, 1, "and here"))
	a4.expect(frame(9, 1, "and here"))
	a3.send(frame(1, 2, "three"))
	b3.expect(frame(1, 2, "three"))
	a4.send(frame(1, 2, "four"))
	b4.expect(frame(1, 2, "four"))
	b3.silent()
}
