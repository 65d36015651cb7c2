package networkxml

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// maxName is the longest name of a network in bytes, so that NAME.xml is a file
// name (limits.h, NAME_MAX).
const maxName = 255 - len(".xml")

// Parse reads a <network> document as libvirt does (virNetworkDefParseXML) and
// makes up a missing uuid; Complete makes up the rest. What is malformed is
// ErrXMLDetail or ErrXMLError, and ranges outside of their network are
// ErrInternalError, as in libvirt. It passes over elements that libvirt does
// not have; Validate refuses them.
func Parse(document string) (*Network, error) {
	top, err := parseTree(document, "network_definition", "network")
	if err != nil {
		return nil, err
	}
	n := &Network{}
	for _, read := range []func(*node) error{
		n.readIdentity, n.readMetadata, n.readOptions, n.readBridge,
		n.readDNS, n.readPortGroups, n.readIPs, n.readRoutes,
		n.readForward,
	} {
		if err := read(top); err != nil {
			return nil, err
		}
	}
	if err := n.checkMode(top); err != nil {
		return nil, err
	}
	return n, refuseForeign(top)
}

// refuseForeign refuses elements that would be lost when the document is
// written again.
func refuseForeign(top *node) error {
	for _, c := range top.children {
		switch {
		case c.is("virtualport"):
			return unsupported("element <virtualport> is not available: it is of Open vSwitch and of switches beyond the host")
		case c.name.Space == "http://libvirt.org/schemas/network/dnsmasq/1.0":
			return unsupported("element <dnsmasq:%s> is not available: addresses and names are served without dnsmasq", c.name.Local)
		}
	}
	return nil
}

func (n *Network) readIdentity(top *node) error {
	if name := top.first("name"); name != nil {
		n.Name = name.text
	}
	if err := checkName(n.Name); err != nil {
		return err
	}
	var err error
	text := ""
	if id := top.first("uuid"); id != nil {
		text = id.text
	}
	if n.UUID, err = readUUID(text); err != nil {
		return err
	}
	if title := top.first("title"); title != nil {
		n.Title = title.text
	}
	if strings.Contains(n.Title, "\n") {
		return invalid("Network title can't contain newlines")
	}
	if description := top.first("description"); description != nil {
		n.Description = description.text
	}
	return nil
}

// checkName refuses names that a network cannot have, as NAME.xml is a file.
func checkName(name string) error {
	switch {
	case name == "":
		return virerr.In(virerr.Network, libvirt.ErrNoName, "")
	case strings.Contains(name, "/"):
		return virerr.In(virerr.XML, libvirt.ErrXMLDetail, "invalid char in name: /")
	case strings.Contains(name, "\n"):
		return virerr.In(virerr.XML, libvirt.ErrXMLDetail, "invalid char in name: \n")
	case len(name) > maxName:
		return invalid("network name '%s...' is %d bytes long, at most %d are allowed",
			strings.ToValidUTF8(name[:32], ""), len(name), maxName)
	}
	return nil
}

// readUUID reads a uuid as libvirt does (src/util/viruuid.c, virUUIDParse):
// hexadecimal digits, with hyphens and spaces anywhere between.
func readUUID(text string) (uuid.UUID, error) {
	if text == "" {
		id, err := uuid.NewRandom()
		if err != nil {
			return id, internal("Failed to generate UUID: %w", err)
		}
		return id, nil
	}
	digits := strings.NewReplacer("-", "", " ", "").Replace(strings.TrimSpace(text))
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(uuid.UUID{}) {
		return uuid.UUID{}, internal("malformed uuid element")
	}
	return uuid.UUID(raw), nil
}

func (n *Network) readMetadata(top *node) error {
	m := top.first("metadata")
	if m == nil {
		return nil
	}
	inner, err := domxml.CleanMetadata(m.inner, append(m.attrs, top.attrs...))
	if err != nil {
		return err
	}
	if strings.TrimSpace(inner) == "" {
		return nil
	}
	n.Metadata = inner
	n.Link, err = readLink(inner)
	return err
}

// readLink takes what the content of <metadata> says of the links of all ports.
func readLink(metadata string) (domxml.Link, error) {
	links, err := domxml.ReadLinks(metadata)
	if err != nil || len(links) == 0 {
		return domxml.Link{}, err
	}
	if name := links[0].Interface; name != "" || len(links) > 1 {
		return domxml.Link{}, unsupported("element <metadata>, <link>: a network has one for all its ports, without interface='%s'; those of one guest are in the domain's", name)
	}
	return links[0], nil
}

// readOptions reads what is one attribute or two.
func (n *Network) readOptions(top *node) (err error) {
	switch value := top.get("ipv6"); value {
	case "", No:
	case Yes:
		n.GuestIPv6 = true
	default:
		return invalid("Invalid ipv6 setting '%s' in network '%s'", value, n.Name)
	}
	if n.TrustGuestRxFilters, err = top.yesNo("trustGuestRxFilters"); err != nil {
		return err
	}
	domain := top.first("domain")
	n.Domain.Name = domain.get("name")
	if domain != nil {
		if n.Domain.LocalOnly, err = domain.yesNo("localOnly"); err != nil {
			return err
		}
	}
	if n.Bandwidth, err = readBandwidth(top.first("bandwidth")); err != nil {
		return err
	}
	if n.VLAN, err = readVLAN(top.first("vlan")); err != nil {
		return err
	}
	if port := top.first("port"); port != nil {
		if n.PortIsolated, err = port.yesNo("isolated"); err != nil {
			return err
		}
	}
	if size := top.first("mtu").get("size"); size != "" {
		if n.MTU, err = parseNumber(size); err != nil {
			return invalid("Invalid mtu size '%s' in network '%s'", size, n.Name)
		}
	}
	return n.readMAC(top.first("mac").get("address"))
}

func (n *Network) readMAC(text string) error {
	if text == "" {
		return nil
	}
	mac, ok := parseMAC(text)
	if !ok {
		return invalid("Invalid bridge mac address '%s' in network '%s'", text, n.Name)
	}
	if mac[0]&1 != 0 {
		return invalid("Invalid multicast bridge mac address '%s' in network '%s'", text, n.Name)
	}
	n.MAC = formatMAC(mac)
	return nil
}

func (n *Network) readBridge(top *node) error {
	b := top.first("bridge")
	n.Bridge = Bridge{Name: b.get("name"), Zone: b.get("zone"), STPOff: b.get("stp") == "off", MACTable: b.get("macTableManager")}
	if delay := b.get("delay"); delay != "" {
		var err error
		if n.Bridge.Delay, err = strconv.ParseUint(strings.TrimSpace(delay), 10, 63); err != nil {
			return invalid("Invalid delay value in network '%s'", n.Name)
		}
	}
	switch n.Bridge.MACTable {
	case "", "kernel", "libvirt":
		return nil
	}
	return invalid("Invalid macTableManager setting '%s' in network '%s'", n.Bridge.MACTable, n.Name)
}

func (n *Network) readRoutes(top *node) error {
	for _, c := range top.all("route") {
		r, err := readRoute(n.Name, c)
		if err != nil {
			return err
		}
		if !n.reaches(r.Gateway) {
			return unsupported("unreachable static route gateway '%s' specified for network '%s'", r.Gateway, n.Name)
		}
		n.Routes = append(n.Routes, r)
	}
	return nil
}

// reaches reports whether a is in one of the network's own networks.
func (n *Network) reaches(a netip.Addr) bool {
	for i := range n.IPs {
		if n.IPs[i].Gateway().Masked().Contains(a) {
			return true
		}
	}
	return false
}
