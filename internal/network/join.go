package network

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/networkxml"
)

// macvtapModes are the modes of a macvtap device (ip-link(8)) by those of
// <forward>.
var macvtapModes = map[networkxml.Mode]string{
	networkxml.Bridged: "bridge", networkxml.Private: "private",
	networkxml.VEPA: "vepa", networkxml.Passthrough: "passthru",
}

// Join tells how a guest's interface joins an active network. A port group that
// the network has not is passed over, as in libvirt.
func (s *Networks) Join(_ context.Context, name, portgroup string) (Joint, error) {
	s.mu.Lock()
	n, err := s.find(Spec{Name: name})
	if err != nil {
		s.mu.Unlock()
		return Joint{}, failf(libvirt.ErrNoNetwork, "no network with matching name '%s'", name)
	}
	def := n.live
	s.mu.Unlock()
	if def == nil {
		return Joint{}, errInactive(name)
	}
	j := Joint{Network: n.spec, MTU: int(def.MTU), Isolated: def.PortIsolated == networkxml.Yes}
	switch {
	case def.Forward.Mode.Virtual():
		j.Dir = s.dir(n.spec)
	case def.Bridge.Name != "":
		j.Bridge = def.Bridge.Name
	default:
		j.Direct, j.Mode = def.Forward.Interfaces[0], macvtapModes[def.Forward.Mode]
	}
	vlan := def.VLAN
	if g := def.PortGroupNamed(portgroup); g != nil {
		j.Portgroup = g.Name
		if g.VLAN != nil {
			vlan = g.VLAN
		}
		if b := g.Bandwidth; b != nil {
			// libvirt's inbound is what the guest is sent.
			j.In, j.Out = shape(b.Outbound), shape(b.Inbound)
		}
	}
	j.Link = def.Link
	j.VLAN, j.Trunk = accessVLAN(vlan)
	j.Tags = trunkTags(vlan)
	return j, nil
}

// accessVLAN is the VLAN of a port's frames without a tag, and whether it
// carries the others too.
func accessVLAN(v *networkxml.VLAN) (id uint16, trunk bool) {
	switch {
	case v == nil:
		return 0, false
	case !v.Trunk:
		return uint16(v.Tags[0]), false
	case v.NativeMode == "untagged":
		return uint16(v.Native), true
	}
	return 0, true
}

// trunkTags are the VLANs whose frames a trunk carries with tags.
func trunkTags(v *networkxml.VLAN) []uint16 {
	if v == nil || !v.Trunk {
		return nil
	}
	var tags []uint16
	for _, tag := range v.Tags {
		if v.NativeMode != "untagged" || tag != v.Native {
			tags = append(tags, uint16(tag))
		}
	}
	return tags
}
