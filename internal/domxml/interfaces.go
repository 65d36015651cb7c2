package domxml

import (
	"net"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// MaxInterfaces is how many interfaces a guest can have: each takes some 90 of
// the 4096 bytes of the kernel's command line (arch/um/include/asm/setup.h,
// COMMAND_LINE_SIZE).
const MaxInterfaces = 32

// generatedNames are the prefixes of host devices that were made up for a
// running guest (src/util/virnetdev.h, VIR_NET_GENERATED_…).
var generatedNames = []string{"vnet", "macvtap", "macvlan"}

// isGeneratedInterface reports whether an interface's name was made up for a
// running guest.
func isGeneratedInterface(dev string) bool {
	for _, prefix := range generatedNames {
		if strings.HasPrefix(dev, prefix) {
			return true
		}
	}
	return false
}

// setInterfaceDefaults gives every interface a MAC address and a unit.
func setInterfaceDefaults(list []lx.DomainInterface) {
	taken := map[string]bool{}
	for i := range list {
		if g := list[i].Guest; g != nil {
			taken[g.Dev] = true
		}
	}
	unit, virtio := 0, 0
	for i := range list {
		n := &list[i]
		setDeviceDefaults(n)
		if isVHostUser(n) {
			n.Guest = &lx.DomainInterfaceGuest{Dev: virtioName(virtio)}
			virtio++
			continue
		}
		if n.Guest != nil && n.Guest.Dev != "" {
			continue
		}
		for taken[vecName(unit)] {
			unit++
		}
		n.Guest = &lx.DomainInterfaceGuest{Dev: vecName(unit)}
		unit++
	}
}

// setDeviceDefaults completes one <interface> but for its unit.
func setDeviceDefaults(n *lx.DomainInterface) {
	if n.MAC == nil {
		n.MAC = &lx.DomainInterfaceMAC{}
	}
	setDefault(&n.MAC.Address, randomMAC())
	if n.Source != nil && n.Source.Direct != nil {
		setDefault(&n.Source.Direct.Mode, "vepa")
	}
	if v := n.VLan; v != nil && len(v.Tags) > 1 {
		setDefault(&v.Trunk, "yes")
	}
}

// dropInterfaceLive removes what only a running guest's interface has.
func dropInterfaceLive(n *lx.DomainInterface) {
	n.Alias = userAlias(n.Alias)
	if t := n.Target; t != nil && t.Managed != "no" && isGeneratedInterface(t.Dev) {
		t.Dev = ""
		if t.Managed == "" {
			n.Target = nil
		}
	}
	if n.Guest != nil {
		n.Guest.Actual = ""
	}
	if n.Source != nil && n.Source.Network != nil {
		n.Source.Network.PortID, n.Source.Network.Bridge = "", ""
	}
}

// vecName is the kernel's name of a vector device
// (arch/um/drivers/vector_kern.c).
func vecName(unit int) string { return "vec" + strconv.Itoa(unit) }

func readInterfaces(d *document, def *Definition) error {
	if n := len(d.Devices.Interfaces); n > MaxInterfaces {
		return unsupported("element <devices/interface>: there are %d, a guest has at most %d", n, MaxInterfaces)
	}
	for i := range d.Devices.Interfaces {
		n, err := readInterface(&d.Devices.Interfaces[i])
		if err != nil {
			return err
		}
		if n.Unit, err = readUnit(&d.Devices.Interfaces[i], n.MAC); err != nil {
			return err
		}
		if n.Alias == "" {
			n.Alias = "net" + strconv.Itoa(n.Unit)
		}
		def.Interfaces = append(def.Interfaces, n)
	}
	return checkInterfaces(def.Interfaces)
}

// readUnit takes <guest dev>, the name that the guest gives the device.
func readUnit(n *lx.DomainInterface, mac string) (int, error) {
	if isVHostUser(n) {
		return virtioUnit(n.Guest.Dev)
	}
	digits, ours := strings.CutPrefix(n.Guest.Dev, "vec")
	unit, err := strconv.Atoi(digits)
	if !ours || err != nil || unit < 0 || unit >= MaxInterfaces || vecName(unit) != n.Guest.Dev {
		return 0, unsupported("%s: element <guest>: dev='%s' is not available, the guest's devices are vec0 to vec%d",
			interfaceName(mac), n.Guest.Dev, MaxInterfaces-1)
	}
	return unit, nil
}

// readInterface takes one <interface> of any type, but for its unit.
func readInterface(n *lx.DomainInterface) (Interface, error) {
	mac, err := readMAC(n.MAC)
	if err != nil {
		return Interface{}, err
	}
	result := Interface{MAC: mac}
	where := interfaceName(mac)
	if err := readInterfaceSource(where, n.Source, &result); err != nil {
		return Interface{}, err
	}
	if err := checkInterfaceKind(where, n); err != nil {
		return Interface{}, err
	}
	readers := []func(string, *lx.DomainInterface, *Interface) error{
		readNames, readLink, readBandwidths, readVLAN, readPortOptions, readBackend, readAddresses, readForwards,
	}
	for _, read := range readers {
		if err := read(where, n, &result); err != nil {
			return Interface{}, err
		}
	}
	if result.Type == InterfaceVHostUser {
		return result, checkVHostUser(where, result)
	}
	return result, nil
}

// interfaceName names an interface in messages.
func interfaceName(mac string) string { return "interface '" + mac + "'" }

func readMAC(m *lx.DomainInterfaceMAC) (string, error) {
	mac, err := net.ParseMAC(m.Address)
	if err != nil || len(mac) != 6 {
		return "", invalid("unable to parse mac address '%s'", m.Address)
	}
	if mac[0]&1 != 0 {
		return "", invalid("expected unicast mac address, found multicast '%s'", m.Address)
	}
	m.Address = mac.String()
	return m.Address, nil
}

// checkInterfaceKind refuses what no interface of a UML guest can have. What
// only asks for speed or for another look of the device (<model>, <driver>,
// <tune>, <coalesce>, <boot>, <rom>, <address>) is tolerated.
func checkInterfaceKind(where string, n *lx.DomainInterface) error {
	s := n.Source.Ethernet
	return refuseIn(where, []refusal{
		{"filterref", n.FilterRef != nil, "traffic is not filtered; isolate the guest with a <network> of its own or <port isolated='yes'/>"},
		{"virtualport", n.VirtualPort != nil, "use <vlan> and <port isolated='yes'/>"},
		{"script", n.Script != nil && n.Script.Path != "", "set the device up beforehand and name it with <target dev='...' managed='no'/>"},
		{"downscript", n.DownScript != nil && n.DownScript.Path != "", "set the device up beforehand and name it with <target dev='...' managed='no'/>"},
		{"backenddomain", n.BackendDomain != nil, ""},
		{"teaming", n.Teaming != nil, "bond the devices in the guest"},
		{"route", len(n.Route) > 0, "the guest's DHCP client learns the route"},
		{"source/ip", s != nil && len(s.IP) > 0, "give the host's device its address beforehand"},
		{"source/route", s != nil && len(s.Route) > 0, "give the host's device its routes beforehand"},
	})
}

// readNames takes the host's name, the model and the user's own alias.
func readNames(where string, n *lx.DomainInterface, result *Interface) error {
	if n.Model != nil {
		result.Model = n.Model.Type
		if strings.Trim(n.Model.Type, modelCharacters) != "" {
			return virerr.New(libvirt.ErrInvalidArg, "%s: Model name contains invalid characters", where)
		}
	}
	if n.Alias != nil {
		result.Alias = n.Alias.Name
	}
	t := n.Target
	if t == nil {
		return nil
	}
	result.Target, result.Unmanaged = t.Dev, t.Managed == "no"
	switch {
	case t.Managed != "" && t.Managed != "yes" && t.Managed != "no":
		return badElement("managed", "target", t.Managed)
	case result.Unmanaged && result.Type != InterfaceEthernet:
		return virerr.New(libvirt.ErrConfigUnsupported, "unmanaged target dev is not supported on interfaces of type '%s'", result.Type)
	case result.Unmanaged && t.Dev == "":
		return invalid("%s: <target managed='no'/> needs the dev that somebody else has made", where)
	case t.Dev != "":
		return checkHostDevice(where, "target", t.Dev)
	}
	return nil
}

// modelCharacters are libvirt's (src/conf/domain_conf.c, NET_MODEL_CHARS).
const modelCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// checkHostDevice refuses what no network device of Linux is called
// (net/core/dev.c, dev_valid_name).
func checkHostDevice(where, element, dev string) error {
	if dev == "." || dev == ".." || len(dev) > 15 || strings.ContainsAny(dev, "/:% \t\n\r\v\f") {
		return invalid("%s: element <%s>: '%s' is no name of a network device", where, element, dev)
	}
	return nil
}

// badElement is libvirt's refusal of an attribute's value.
func badElement(attribute, element, value string) error {
	return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute '%s' in element '%s': '%s'.", attribute, element, value)
}

// checkInterfaces refuses what two interfaces of a guest cannot share.
func checkInterfaces(list []Interface) error {
	for i, n := range list {
		for _, other := range list[:i] {
			switch {
			case n.MAC == other.MAC:
				return invalid("two interfaces have the mac address '%s', choose another for one", n.MAC)
			case n.Unit == other.Unit:
				return invalid("interfaces '%s' and '%s' are both the guest's %s, choose another <guest dev> for one", other.MAC, n.MAC, n.Device())
			case n.Target != "" && n.Target == other.Target:
				return invalid("interfaces '%s' and '%s' have the same target '%s'", other.MAC, n.MAC, n.Target)
			case n.Alias == other.Alias:
				return invalid("interfaces '%s' and '%s' have the same alias '%s'", other.MAC, n.MAC, n.Alias)
			}
			if err := checkForwards(other, n); err != nil {
				return err
			}
		}
	}
	return nil
}
