package netswitch

import (
	"bytes"
	"testing"
)

// FuzzFrame sends any bytes into ports of all kinds. Who gets them gets a
// whole frame, and one of a VLAN gets none of another.
func FuzzFrame(f *testing.F) {
	plain := frame(everybody, 1, "data")
	f.Add(plain, byte(0))
	f.Add(withTag(plain, 3), byte(2))
	f.Add(withTag(withTag(plain, 3), 4), byte(3))
	f.Add(withTag(plain, 3)[:16], byte(2))
	f.Add(withTag(plain, 0xffff), byte(2))
	f.Add(plain[:13], byte(1))
	f.Add([]byte{}, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		if len(data) > MaxFrame {
			return
		}
		s := newTestSwitch(t)
		configs := []PortConfig{{}, {VLAN: 3}, {Trunk: true}, {Trunk: true, VLAN: 3}}
		from := plug(t, s, configs[kind%4])
		marked := bytes.Clone(data)
		var ports []*device
		for _, c := range configs {
			ports = append(ports, plug(t, s, c))
		}
		from.send(marked)
		got := make([][]byte, len(ports))
		for i, p := range ports {
			select {
			case got[i] = <-p.out:
			default:
				continue
			}
			if len(got[i]) < headerSize || len(got[i]) > len(data)+tagSize {
				t.Errorf("%d bytes came of %d", len(got[i]), len(data))
			}
			if !bytes.Equal(got[i][:typeOffset], data[:typeOffset]) {
				t.Errorf("the addresses are %x of %x", got[i][:typeOffset], data[:typeOffset])
			}
		}
		if got[0] != nil && got[1] != nil {
			t.Error("a frame is in two VLANs")
		}
		alive := valid(data) && !bytes.Equal(data[:6], data[6:12])
		if alive && kind%4 < 2 && got[kind%4] == nil {
			t.Error("an access port's frame is not in its VLAN")
		}
	})
}
