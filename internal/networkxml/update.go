package networkxml

import (
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
)

// Section and Command say what an update changes, and how
// (virNetworkUpdateSection, virNetworkUpdateCommand).
type (
	Section = libvirt.NetworkUpdateSection
	Command = libvirt.NetworkUpdateCommand
)

const (
	modify   = libvirt.NetworkUpdateCommandModify
	remove   = libvirt.NetworkUpdateCommandDelete
	addLast  = libvirt.NetworkUpdateCommandAddLast
	addFirst = libvirt.NetworkUpdateCommandAddFirst
)

func adds(c Command) bool { return c == addLast || c == addFirst }

// Update returns a copy of n with one section changed by a document, as
// virNetworkUpdate does (virNetworkDefUpdateSection). index picks an <ip>; -1
// is the one with DHCP, or the first. Its errors are ErrOperationInvalid for
// what does not fit and ErrOperationUnsupported for what cannot be changed.
func (n *Network) Update(c Command, section Section, index int, document string) (*Network, error) {
	changed, err := Parse(n.XML())
	if err != nil {
		return nil, err
	}
	doc, err := parseTree(document, "network_update_xml", "")
	if err != nil {
		return nil, err
	}
	if err := changed.update(c, section, index, doc); err != nil {
		return nil, err
	}
	// As libvirt: what has become wrong as a whole is refused.
	return Parse(changed.XML())
}

func (n *Network) update(c Command, section Section, index int, doc *node) error {
	switch section {
	case libvirt.NetworkSectionBridge:
		return n.cannotUpdate("bridge")
	case libvirt.NetworkSectionDomain:
		return n.cannotUpdate("domain")
	case libvirt.NetworkSectionIP:
		return n.cannotUpdate("ip")
	case libvirt.NetworkSectionForward:
		return n.cannotUpdate("forward")
	case libvirt.NetworkSectionForwardPf:
		return n.cannotUpdate("forward pf")
	case libvirt.NetworkSectionIPDhcpHost:
		return n.updateHost(c, index, doc)
	case libvirt.NetworkSectionIPDhcpRange:
		return n.updateRange(c, index, doc)
	case libvirt.NetworkSectionForwardInterface:
		return n.updateInterface(c, doc)
	case libvirt.NetworkSectionPortgroup:
		return n.updatePortGroup(c, doc)
	case libvirt.NetworkSectionDNSHost:
		return n.updateDNSHost(c, doc)
	case libvirt.NetworkSectionDNSTxt:
		return n.updateText(c, doc)
	case libvirt.NetworkSectionDNSSrv:
		return n.updateService(c, doc)
	}
	return noSupport("can't update unrecognized section of network")
}

func (n *Network) cannotUpdate(section string) error {
	return noSupport("can't update '%s' section of network '%s'", section, n.Name)
}

func unknownCommand(c Command) error {
	return noSupport("unrecognized network update command code %d", c)
}

// expect refuses a document of another element.
func (n *Network) expect(doc *node, name string) error {
	if !doc.is(name) {
		return invalid("unexpected element <%s>, expecting <%s>, while updating network '%s'", doc.name.Local, name, n.Name)
	}
	return nil
}

// insert adds a value at the begin or the end.
func insert[T any](list []T, c Command, value T) []T {
	if c == addFirst {
		return slices.Insert(list, 0, value)
	}
	return append(list, value)
}

func (n *Network) updateInterface(c Command, doc *node) error {
	if err := n.expect(doc, "interface"); err != nil {
		return err
	}
	if c == modify {
		return noSupport("forward interface entries cannot be modified, only added or deleted")
	}
	dev, ok := doc.attr("dev")
	if !ok {
		return invalid("missing dev attribute in <interface> element")
	}
	at := slices.Index(n.Forward.Interfaces, dev)
	switch {
	case adds(c) && at >= 0:
		return wrongState("there is an existing interface entry in network '%s' that matches \"<interface dev='%s'>\"", n.Name, dev)
	case adds(c):
		n.Forward.Interfaces = insert(n.Forward.Interfaces, c, dev)
	case c == remove && at < 0:
		return wrongState("couldn't find an interface entry in network '%s' matching <interface dev='%s'>", n.Name, dev)
	case c == remove:
		n.Forward.Interfaces = slices.Delete(n.Forward.Interfaces, at, at+1)
	default:
		return unknownCommand(c)
	}
	return nil
}

func (n *Network) updatePortGroup(c Command, doc *node) error {
	if err := n.expect(doc, "portgroup"); err != nil {
		return err
	}
	g, err := readPortGroup(doc)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(n.PortGroups, func(o PortGroup) bool { return o.Name == g.Name })
	standard := slices.IndexFunc(n.PortGroups, func(o PortGroup) bool { return o.Default })
	switch {
	case at < 0 && (c == modify || c == remove):
		return wrongState("couldn't find a portgroup entry in network '%s' matching <portgroup name='%s'>", n.Name, g.Name)
	case at >= 0 && adds(c):
		return wrongState("there is an existing portgroup entry in network '%s' that matches \"<portgroup name='%s'>\"", n.Name, g.Name)
	case c != remove && g.Default && standard >= 0 && standard != at:
		return wrongState("a different portgroup entry in network '%s' is already set as the default. Only one default is allowed.", n.Name)
	case c == modify:
		n.PortGroups[at] = g
	case adds(c):
		n.PortGroups = insert(n.PortGroups, c, g)
	case c == remove:
		n.PortGroups = slices.Delete(n.PortGroups, at, at+1)
	default:
		return unknownCommand(c)
	}
	return nil
}
