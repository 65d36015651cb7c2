package networkxml

import (
	"strings"
)

// maxService is the longest name of a service in a SRV record in bytes
// (src/conf/network_conf.h, DNS_RECORD_LENGTH_SRV).
const maxService = 512 - 30

const (
	alphanumeric  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	protocolChars = alphanumeric + "-+/"
	serviceChars  = alphanumeric + "_-+/*"
)

func (n *Network) readDNS(top *node) (err error) {
	c := top.first("dns")
	if c == nil {
		return nil
	}
	d := &n.DNS
	if d.Enable, err = c.yesNo("enable"); err != nil {
		return err
	}
	if d.ForwardPlainNames, err = c.yesNo("forwardPlainNames"); err != nil {
		return err
	}
	for _, child := range c.children {
		if err := d.readRecord(n.Name, child); err != nil {
			return err
		}
	}
	if d.Enable == No && len(d.Forwarders)+len(d.Hosts)+len(d.SRV)+len(d.TXT) > 0 {
		return invalid("Extra data in disabled network '%s'", n.Name)
	}
	return nil
}

func (d *DNS) readRecord(network string, c *node) error {
	switch {
	case c.is("forwarder"):
		f, err := readForwarder(network, c)
		d.Forwarders = append(d.Forwarders, f)
		return err
	case c.is("host"):
		h, err := readDNSHost(network, c, false)
		d.Hosts = append(d.Hosts, h)
		return err
	case c.is("srv"):
		s, err := readService(network, c, false)
		d.SRV = append(d.SRV, s)
		return err
	case c.is("txt"):
		t, err := readText(network, c, false)
		d.TXT = append(d.TXT, t)
		return err
	}
	return nil
}

func readForwarder(network string, c *node) (f Forwarder, err error) {
	address, hasAddress := c.attr("addr")
	if hasAddress {
		if f.Address, err = parseAddress(address); err != nil {
			return f, invalid("Invalid forwarder IP address '%s' in network '%s'", address, network)
		}
	}
	f.Domain = c.get("domain")
	if !hasAddress && f.Domain == "" {
		return f, invalid("Invalid forwarder element, must contain at least one of addr or domain")
	}
	return f, nil
}

func readDNSHost(network string, c *node, partial bool) (h DNSHost, err error) {
	address, ok := c.attr("ip")
	if !ok && !partial {
		return h, detail("Missing IP address in network '%s' DNS HOST record", network)
	}
	if ok {
		if h.Address, err = parseAddress(address); err != nil {
			return h, detail("Invalid IP address in network '%s' DNS HOST record", network)
		}
	}
	for _, name := range c.all("hostname") {
		if name.text != "" {
			h.Names = append(h.Names, name.text)
		}
	}
	if len(h.Names) == 0 && !partial {
		return h, detail("Missing hostname in network '%s' DNS HOST record", network)
	}
	if len(h.Names) == 0 && !ok {
		return h, detail("Missing ip and hostname in network '%s' DNS HOST record", network)
	}
	return h, nil
}

func readText(network string, c *node, partial bool) (Text, error) {
	name, ok := c.attr("name")
	if !ok {
		return Text{}, detail("missing required name attribute in DNS TXT record of network %s", network)
	}
	if strings.ContainsAny(name, " ,") {
		return Text{}, detail("prohibited character in DNS TXT record name '%s' of network %s", name, network)
	}
	value, ok := c.attr("value")
	if !ok && !partial {
		return Text{}, detail("missing required value attribute in DNS TXT record named '%s' of network %s", name, network)
	}
	return Text{name, value}, nil
}

// readService reads <srv> (virNetworkDNSSrvDefParseXML).
func readService(network string, c *node, partial bool) (Service, error) {
	s := Service{Service: c.get("service"), Protocol: c.get("protocol"), Domain: c.get("domain"), Target: c.get("target")}
	switch {
	case s.Service == "" && !partial:
		return s, detail("missing required service attribute in DNS SRV record of network '%s'", network)
	case len(s.Service) > maxService:
		return s, detail("service attribute '%s' in network '%s' is too long, limit is %d bytes", s.Service, network, maxService)
	case !onlyOf(s.Service, serviceChars):
		return s, detail("invalid character in service attribute '%s' in DNS SRV record of network '%s'", s.Service, network)
	case s.Protocol == "" && !partial:
		return s, detail("missing required protocol attribute in DNS SRV record '%s' of network '%s'", s.Service, network)
	case !onlyOf(s.Protocol, protocolChars):
		return s, detail("invalid character in protocol attribute '%s' in DNS SRV record of network '%s'", s.Protocol, network)
	}
	for _, number := range []struct {
		to       *uint
		name     string
		least    uint
		mistaken string
	}{{&s.Port, "port", 1, "invalid"}, {&s.Priority, "priority", 0, "Invalid"}, {&s.Weight, "weight", 0, "invalid"}} {
		text := c.get(number.name)
		if text == "" {
			continue
		}
		v, err := parseNumber(text)
		if err == nil && s.Target == "" {
			return s, detail("DNS SRV %s attribute not permitted without target for service '%s' in network '%s'", number.name, s.Service, network)
		}
		if err != nil || v < number.least || v > 65535 {
			return s, detail("%s DNS SRV %s attribute for service '%s' in network '%s'", number.mistaken, number.name, s.Service, network)
		}
		*number.to = v
	}
	return s, nil
}

func onlyOf(s, chars string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(chars, r) })
}
