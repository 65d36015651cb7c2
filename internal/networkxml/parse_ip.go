package networkxml

import (
	"slices"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func (n *Network) readIPs(top *node) error {
	for _, c := range top.all("ip") {
		ip, err := readIP(n.Name, c)
		if err != nil {
			return err
		}
		n.IPs = append(n.IPs, *ip)
	}
	return nil
}

// readIP reads <ip> (virNetworkIPDefParseXML).
func readIP(network string, c *node) (*IP, error) {
	ip := &IP{Family: c.get("family")}
	address := c.get("address")
	if address == "" {
		return nil, invalid("Missing required address attribute in network '%s'", network)
	}
	var err error
	if ip.Address, err = parseAddress(address); err != nil {
		return nil, invalid("Invalid address '%s' in network '%s'", address, network)
	}
	if mask := c.get("netmask"); mask != "" {
		if ip.Netmask, err = parseAddress(mask); err != nil {
			return nil, invalid("Invalid netmask '%s' in network '%s'", mask, network)
		}
	}
	if ip.Prefix, _, err = c.number("prefix"); err != nil {
		return nil, err
	}
	if ip.LocalPTR, err = c.yesNo("localPtr"); err != nil {
		return nil, err
	}
	if err := ip.checkFamily(network); err != nil {
		return nil, err
	}
	if err := ip.readDHCP(network, c.first("dhcp")); err != nil {
		return nil, err
	}
	if tftp := c.first("tftp"); tftp != nil {
		if !ip.Address.Is4() {
			return nil, unsupported("Unsupported <tftp> element in an IPv6 element in network '%s'", network)
		}
		ip.TFTPRoot = tftp.get("root")
	}
	return ip, nil
}

func (ip *IP) checkFamily(network string) error {
	switch ip.Family {
	case "", "ipv4":
		return ip.checkIPv4(network)
	case "ipv6":
		return ip.checkIPv6(network)
	}
	return invalid("Unrecognized family '%s' in network '%s'", ip.Family, network)
}

func (ip *IP) checkIPv4(network string) error {
	family := ip.Family
	if family == "" {
		family = "no"
	}
	switch {
	case !ip.Address.Is4():
		return unsupported("%s family specified for non-IPv4 address '%s' in network '%s'", family, ip.Address, network)
	case ip.Netmask.IsValid() && !ip.Netmask.Is4():
		return unsupported("Invalid netmask '%s' for address '%s' in network '%s' (both must be IPv4)", ip.Netmask, ip.Address, network)
	case ip.Netmask.IsValid() && ip.Prefix > 0:
		return unsupported("Network '%s' IP address cannot have both a prefix and a netmask", network)
	case ip.Prefix > 32:
		return unsupported("Invalid IPv4 prefix '%d' in network '%s'", ip.Prefix, network)
	}
	return nil
}

func (ip *IP) checkIPv6(network string) error {
	switch {
	case ip.Address.Is4():
		return unsupported("Family 'ipv6' specified for non-IPv6 address '%s' in network '%s'", ip.Address, network)
	case ip.Netmask.IsValid():
		return unsupported("netmask not allowed for IPv6 address '%s' in network '%s'", ip.Address, network)
	case ip.Prefix > 128:
		return unsupported("Invalid IPv6 prefix '%d' in network '%s'", ip.Prefix, network)
	}
	return nil
}

func (ip *IP) readDHCP(network string, dhcp *node) error {
	if dhcp == nil {
		return nil
	}
	for _, c := range dhcp.children {
		switch {
		case c.is("range"):
			r, err := readRange(network, ip, c)
			if err != nil {
				return err
			}
			ip.Ranges = append(ip.Ranges, r)
		case c.is("host"):
			h, err := readHost(network, ip, c, false)
			if err != nil {
				return err
			}
			ip.Hosts = append(ip.Hosts, h)
		case c.is("bootp") && ip.Address.Is4():
			if err := ip.readBootP(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ip *IP) readBootP(c *node) (err error) {
	file := c.get("file")
	if file == "" {
		return nil
	}
	ip.BootFile = file
	if server := c.get("server"); server != "" {
		if ip.BootServer, err = parseAddress(server); err != nil {
			return cannotParse(server)
		}
	}
	return nil
}

// cannotParse is libvirt's error for what is no address (virSocketAddrParse).
func cannotParse(text string) error {
	return virerr.In(virerr.Network, libvirt.ErrSystemError, "Cannot parse socket address '%s': Name or service not known", text)
}

// readRange reads <range> (virNetworkDHCPRangeDefParseXML).
func readRange(network string, ip *IP, c *node) (r Range, err error) {
	start, ok := c.attr("start")
	if !ok {
		return r, invalid("Missing 'start' attribute in dhcp range for network '%s'", network)
	}
	if r.First, err = parseAddress(start); err != nil {
		return r, cannotParse(start)
	}
	end, ok := c.attr("end")
	if !ok {
		return r, invalid("Missing 'end' attribute in dhcp range for network '%s'", network)
	}
	if r.Last, err = parseAddress(end); err != nil {
		return r, cannotParse(end)
	}
	if err := checkRange(r.First, r.Last, ip); err != nil {
		return r, err
	}
	r.Lease, err = readLease(c)
	return r, err
}

// readLease reads <lease> (virNetworkDHCPLeaseTimeDefParseXML).
func readLease(parent *node) (*Lease, error) {
	c := parent.first("lease")
	text, ok := c.attr("expiry")
	if !ok {
		return nil, nil
	}
	expiry, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return nil, virerr.In(virerr.XML, libvirt.ErrXMLError,
			"Invalid value for attribute 'expiry' in element 'lease': '%s'. Expected non-negative integer value", text)
	}
	l := &Lease{Expiry: expiry, Unit: "minutes"}
	if unit, ok := c.attr("unit"); ok {
		l.Unit = unit
	}
	if !slices.Contains([]string{"seconds", "minutes", "hours"}, l.Unit) {
		return nil, virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'unit' in element 'lease': '%s'.", l.Unit)
	}
	if expiry > 0 && (l.Unit == "seconds" && expiry < 120 || l.Unit == "minutes" && expiry < 2) {
		return nil, unsupported("The minimum lease time should be greater than 2 minutes")
	}
	return l, nil
}

// readHost reads <host> of <dhcp> (virNetworkDHCPHostDefParseXML); partial is
// for finding one.
func readHost(network string, ip *IP, c *node, partial bool) (h Host, err error) {
	var hasMAC, hasID, hasName, hasIP bool
	if h.MAC, hasMAC = c.attr("mac"); hasMAC {
		if err := checkHostMAC(network, ip, h.MAC); err != nil {
			return h, err
		}
	}
	if h.ID, hasID = c.attr("id"); hasID {
		if at := strings.IndexFunc(h.ID, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF:", r) }); at >= 0 {
			return h, invalid("Invalid character '%c' in id '%s' of network '%s'", []rune(h.ID[at:])[0], h.ID, network)
		}
	}
	if h.Name, hasName = c.attr("name"); hasName && !beginsAlphanumeric(h.Name) {
		return h, invalid("Cannot use host name '%s' in network '%s'", h.Name, network)
	}
	address, hasIP := c.attr("ip")
	if hasIP {
		if h.Address, err = parseAddress(address); err != nil {
			return h, invalid("Invalid IP address in static host definition for network '%s'", network)
		}
	}
	switch {
	case partial && !hasMAC && !hasName && !hasIP:
		return h, invalid("At least one of name, mac, or ip attribute must be specified for static host definition in network '%s' ", network)
	case partial:
	case !ip.Address.Is4() && !hasID && !hasName:
		return h, invalid("Static host definition in IPv6 network '%s' must have id or name attribute", network)
	case ip.Address.Is4() && !hasMAC && !hasName:
		return h, invalid("Static host definition in IPv4 network '%s' must have mac or name attribute", network)
	case !hasIP:
		return h, invalid("Missing IP address in static host definition for network '%s'", network)
	}
	h.Lease, err = readLease(c)
	return h, err
}

func checkHostMAC(network string, ip *IP, text string) error {
	if !ip.Address.Is4() {
		return invalid("Invalid to specify MAC address '%s' in network '%s' IPv6 static host definition", text, network)
	}
	mac, ok := parseMAC(text)
	if !ok {
		return invalid("Cannot parse MAC address '%s' in network '%s'", text, network)
	}
	if mac[0]&1 != 0 {
		return invalid("expected unicast mac address, found multicast '%s' in network '%s'", text, network)
	}
	return nil
}

func beginsAlphanumeric(s string) bool {
	if s == "" {
		return false
	}
	c := s[0] | 0x20
	return c >= 'a' && c <= 'z' || s[0] >= '0' && s[0] <= '9'
}
