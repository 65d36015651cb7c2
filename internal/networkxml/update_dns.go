package networkxml

import (
	"slices"
)

// matching returns the indexes of the values that fit.
func matching[T any](list []T, fits func(*T) bool) []int {
	var found []int
	for i := range list {
		if fits(&list[i]) {
			found = append(found, i)
		}
	}
	return found
}

func (n *Network) updateDNSHost(c Command, doc *node) error {
	if c == modify {
		return noSupport("DNS HOST records cannot be modified, only added or deleted")
	}
	if err := n.expect(doc, "host"); err != nil {
		return err
	}
	h, err := readDNSHost(n.Name, doc, !adds(c))
	if err != nil {
		return err
	}
	// Several addresses may have the same name, so that only the address
	// counts when one is added.
	found := matching(n.DNS.Hosts, func(o *DNSHost) bool {
		return h.Address == o.Address || (!adds(c) && slices.ContainsFunc(h.Names, func(name string) bool { return slices.Contains(o.Names, name) }))
	})
	switch {
	case adds(c) && len(found) > 0:
		return wrongState("there is already at least one DNS HOST record with a matching field in network %s", n.Name)
	case adds(c):
		n.DNS.Hosts = insert(n.DNS.Hosts, c, h)
	case c != remove:
		return unknownCommand(c)
	case len(found) == 0:
		return wrongState("couldn't locate a matching DNS HOST record in network %s", n.Name)
	case len(found) > 1:
		return wrongState("multiple matching DNS HOST records were found in network %s", n.Name)
	default:
		n.DNS.Hosts = slices.Delete(n.DNS.Hosts, found[0], found[0]+1)
	}
	return nil
}

func (n *Network) updateText(c Command, doc *node) error {
	if c == modify {
		return noSupport("DNS TXT records cannot be modified, only added or deleted")
	}
	if err := n.expect(doc, "txt"); err != nil {
		return err
	}
	t, err := readText(n.Name, doc, !adds(c))
	if err != nil {
		return err
	}
	at := slices.IndexFunc(n.DNS.TXT, func(o Text) bool { return o.Name == t.Name })
	switch {
	case adds(c) && at >= 0:
		return wrongState("there is already a DNS TXT record with name '%s' in network %s", t.Name, n.Name)
	case adds(c):
		n.DNS.TXT = insert(n.DNS.TXT, c, t)
	case c != remove:
		return unknownCommand(c)
	case at < 0:
		return wrongState("couldn't locate a matching DNS TXT record in network %s", n.Name)
	default:
		n.DNS.TXT = slices.Delete(n.DNS.TXT, at, at+1)
	}
	return nil
}

func (n *Network) updateService(c Command, doc *node) error {
	if c == modify {
		return noSupport("DNS SRV records cannot be modified, only added or deleted")
	}
	if err := n.expect(doc, "srv"); err != nil {
		return err
	}
	s, err := readService(n.Name, doc, !adds(c))
	if err != nil {
		return err
	}
	fits := func(value, other string) bool { return value == "" || value == other }
	found := matching(n.DNS.SRV, func(o *Service) bool {
		return fits(s.Domain, o.Domain) && fits(s.Service, o.Service) && fits(s.Protocol, o.Protocol) && fits(s.Target, o.Target)
	})
	switch {
	case adds(c) && len(found) > 0:
		return wrongState("there is already at least one DNS SRV record matching all specified fields in network %s", n.Name)
	case adds(c):
		n.DNS.SRV = insert(n.DNS.SRV, c, s)
	case c != remove:
		return unknownCommand(c)
	case len(found) == 0:
		return wrongState("couldn't locate a matching DNS SRV record in network %s", n.Name)
	case len(found) > 1:
		return wrongState("multiple DNS SRV records matching all specified fields were found in network %s", n.Name)
	default:
		n.DNS.SRV = slices.Delete(n.DNS.SRV, found[0], found[0]+1)
	}
	return nil
}
