package networkxml

import (
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func (n *Network) readPortGroups(top *node) error {
	for _, c := range top.all("portgroup") {
		g, err := readPortGroup(c)
		if err != nil {
			return err
		}
		n.PortGroups = append(n.PortGroups, g)
	}
	return nil
}

func readPortGroup(c *node) (g PortGroup, err error) {
	g.Name = c.get("name")
	if g.Name == "" {
		return g, invalid("Missing required name attribute in portgroup")
	}
	g.Default = strings.EqualFold(c.get("default"), Yes)
	if g.TrustGuestRxFilters, err = c.yesNo("trustGuestRxFilters"); err != nil {
		return g, err
	}
	if c.first("virtualport") != nil {
		return g, unsupported("element <virtualport> of <portgroup name='%s'> is not available: it is of Open vSwitch and of switches beyond the host", g.Name)
	}
	if g.Bandwidth, err = readBandwidth(c.first("bandwidth")); err != nil {
		return g, err
	}
	g.VLAN, err = readVLAN(c.first("vlan"))
	return g, err
}

// readVLAN reads <vlan> (src/conf/netdev_vlan_conf.c).
func readVLAN(c *node) (*VLAN, error) {
	if c == nil {
		return nil, nil
	}
	v := &VLAN{}
	for _, tag := range c.all("tag") {
		if err := v.readTag(tag); err != nil {
			return nil, err
		}
	}
	if len(v.Tags) == 0 {
		return nil, invalid("missing tag id - each <vlan> must have at least one <tag id='n'/> subelement")
	}
	v.Trunk = len(v.Tags) > 1
	trunk := c.get("trunk")
	if trunk == "" {
		return v, nil
	}
	v.Trunk = strings.EqualFold(trunk, Yes)
	switch {
	case v.Trunk:
	case len(v.Tags) > 1:
		return nil, invalid("invalid \"trunk='%s'\" in <vlan> - trunk='yes' is required for more than one vlan tag", trunk)
	case v.NativeMode != "":
		return nil, invalid("invalid configuration in <vlan> - \"trunk='no'\" is not allowed with a native vlan id")
	case !strings.EqualFold(trunk, No):
		return nil, invalid("invalid \"trunk='%s'\" in <vlan> - must be yes or no", trunk)
	}
	return v, nil
}

func (v *VLAN) readTag(c *node) error {
	id, ok, err := c.number("id")
	if err != nil {
		return err
	}
	if !ok {
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Missing required attribute 'id' in element 'tag'")
	}
	if id > 4095 {
		return invalid("vlan tag id %d too large (maximum 4095)", id)
	}
	v.Tags = append(v.Tags, id)
	mode, ok := c.attr("nativeMode")
	if !ok {
		return nil
	}
	if mode != "tagged" && mode != "untagged" {
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'nativeMode' in element 'tag': '%s'.", mode)
	}
	if v.NativeMode != "" {
		return invalid("duplicate native vlan setting")
	}
	v.NativeMode, v.Native = mode, id
	return nil
}

// readBandwidth reads <bandwidth> (src/conf/netdev_bandwidth_conf.c).
func readBandwidth(c *node) (*Bandwidth, error) {
	if c == nil {
		return nil, nil
	}
	if _, ok := c.attr("classID"); ok {
		return nil, detail("classID attribute not supported on <bandwidth> in this usage context")
	}
	b := &Bandwidth{}
	for _, direction := range []struct {
		to   **Rate
		name string
	}{{&b.Inbound, "inbound"}, {&b.Outbound, "outbound"}} {
		found := c.all(direction.name)
		if len(found) > 1 {
			return nil, detail("Only one child <%s> element allowed", direction.name)
		}
		if len(found) == 0 {
			continue
		}
		r, err := readRate(found[0])
		if err != nil {
			return nil, err
		}
		*direction.to = r
	}
	if b.Inbound == nil && b.Outbound == nil {
		return nil, nil
	}
	return b, nil
}

func readRate(c *node) (*Rate, error) {
	r, floor := &Rate{}, uint64(0)
	_, hasAverage := c.attr("average")
	_, hasFloor := c.attr("floor")
	if !hasAverage && !hasFloor {
		return nil, detail("Missing mandatory average or floor attributes")
	}
	for _, number := range []struct {
		to   *uint64
		name string
	}{{&r.Average, "average"}, {&r.Peak, "peak"}, {&r.Burst, "burst"}, {&floor, "floor"}} {
		text, ok := c.attr(number.name)
		if !ok {
			continue
		}
		if !hasAverage && number.name != "floor" {
			return nil, unsupported("'peak' and 'burst' require 'average' attribute")
		}
		var err error
		if *number.to, err = strconv.ParseUint(strings.TrimSpace(text), 10, 64); err != nil {
			return nil, unsupported("could not convert bandwidth %s value '%s'", number.name, text)
		}
	}
	if floor == 0 {
		return r, nil
	}
	if c.is("outbound") {
		return nil, unsupported("'floor' attribute allowed only in <inbound> element")
	}
	return nil, unsupported("floor attribute is not supported for this config")
}
