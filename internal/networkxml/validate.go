package networkxml

import (
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// paths are the elements and attributes that libvirt's schema has for a
// network (network.rng; title and description are newer).
var paths = slices.Concat(
	strings.Fields("@connections @ipv6 @trustGuestRxFilters name title description uuid metadata "+
		"mtu mtu/@size mac mac/@address domain domain/@name domain/@localOnly port port/@isolated"),
	under("bridge", "@name @zone @stp @delay @macTableManager"),
	under("forward", "@dev @mode @managed interface interface/@dev interface/@connections "+
		"address address/@type address/@domain address/@bus address/@slot address/@function address/@multifunction address/@connections "+
		"pf pf/@dev driver driver/@name nat nat/@ipv6 nat/address nat/address/@start nat/address/@end nat/port nat/port/@start nat/port/@end"),
	under("", virtualPortPaths+bandwidthPaths+vlanPaths),
	under("portgroup", "@name @default @trustGuestRxFilters"+virtualPortPaths+bandwidthPaths+vlanPaths),
	under("dns", "@enable @forwardPlainNames forwarder forwarder/@addr forwarder/@domain txt txt/@name txt/@value "+
		"srv srv/@service srv/@protocol srv/@domain srv/@target srv/@port srv/@priority srv/@weight host host/@ip host/hostname"),
	under("ip", "@address @netmask @prefix @family @localPtr tftp tftp/@root dhcp"),
	under("ip/dhcp", "range range/@start range/@end range/lease range/lease/@expiry range/lease/@unit "+
		"host host/@mac host/@id host/@name host/@ip host/lease host/lease/@expiry host/lease/@unit bootp bootp/@file bootp/@server"),
	under("route", "@family @address @netmask @prefix @gateway @metric"))

const (
	virtualPortPaths = " virtualport virtualport/@type virtualport/parameters virtualport/parameters/@managerid virtualport/parameters/@typeid " +
		"virtualport/parameters/@typeidversion virtualport/parameters/@instanceid virtualport/parameters/@profileid virtualport/parameters/@interfaceid"
	bandwidthPaths = " bandwidth bandwidth/@classID bandwidth/inbound bandwidth/inbound/@average bandwidth/inbound/@peak bandwidth/inbound/@floor " +
		"bandwidth/inbound/@burst bandwidth/outbound bandwidth/outbound/@average bandwidth/outbound/@peak bandwidth/outbound/@floor bandwidth/outbound/@burst"
	vlanPaths = " vlan vlan/@trunk vlan/tag vlan/tag/@id vlan/tag/@nativeMode"
)

// under puts element before each path, and names it too.
func under(element, paths string) []string {
	if element == "" {
		return strings.Fields(paths)
	}
	result := []string{element}
	for path := range strings.FieldsSeq(paths) {
		result = append(result, element+"/"+path)
	}
	return result
}

// Validate is the strict reading that clients ask for with the VALIDATE flag:
// where Parse, as libvirt does, passes over elements and attributes that
// libvirt does not have, it refuses them with ErrXMLInvalidSchema.
func Validate(document string) error {
	top, err := parseTree(document, "network_definition", "network")
	if err != nil {
		return err
	}
	return validateNode(top, "")
}

// validateNode checks n, whose path with a slash at the end is prefix.
func validateNode(n *node, prefix string) error {
	for _, a := range n.attrs {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
			continue
		}
		if err := checkPath(prefix + "@" + a.Name.Local); err != nil {
			return err
		}
	}
	for _, c := range n.children {
		if c.name.Space != "" {
			continue // another's
		}
		path := prefix + c.name.Local
		if err := checkPath(path); err != nil {
			return err
		}
		if path == "metadata" {
			continue
		}
		if err := validateNode(c, path+"/"); err != nil {
			return err
		}
	}
	return nil
}

func checkPath(path string) error {
	if slices.Contains(paths, path) {
		return nil
	}
	return virerr.In(virerr.XML, libvirt.ErrXMLInvalidSchema, "'./%s' is not part of a network's definition", path)
}
