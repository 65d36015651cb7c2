package tap

import (
	"net"

	"github.com/vishvananda/netlink"
)

// tapMAC is the address of a guest's tap: the guest's own, with fe in front,
// so that a bridge never takes it for its own. It is nil for "".
func tapMAC(guest string) (net.HardwareAddr, error) {
	if guest == "" {
		return nil, nil
	}
	mac, err := net.ParseMAC(guest)
	if err != nil || len(mac) != 6 {
		return nil, unsupported("'%s' is not the MAC address of a network card", guest)
	}
	if mac[0] == 0xfe {
		return nil, unsupported("Unable to use MAC address starting with reserved value 0xFE - '%s' - ", guest)
	}
	mac[0] = 0xfe
	return mac, nil
}

// joinBridge makes the link a port of the bridge, with the bridge's MTU unless
// another is wanted, and in its VLANs only.
func joinBridge(link netlink.Link, cfg Config) error {
	name := link.Attrs().Name
	bridge, err := netlink.LinkByName(cfg.Bridge)
	if err != nil {
		return failed(err, "Cannot get interface MTU on '%s'", cfg.Bridge)
	}
	if cfg.MTU == 0 {
		if err := setMTU(link, bridge.Attrs().MTU); err != nil {
			return err
		}
	}
	if cfg.hasVLANs() && !filtersVLANs(bridge) {
		return unsupported("the bridge %s does not keep VLANs apart; an administrator can change that: ip link set %s type bridge vlan_filtering 1",
			cfg.Bridge, cfg.Bridge)
	}
	if err := netlink.LinkSetMaster(link, bridge); err != nil {
		return failed(err, "Unable to add bridge %s port %s", cfg.Bridge, name)
	}
	if cfg.Isolated {
		if err := netlink.LinkSetIsolated(link, true); err != nil {
			return failed(err, "Unable to set isolated flag on '%s'", name)
		}
	}
	if cfg.hasVLANs() {
		return setVLANs(link, cfg)
	}
	return nil
}

func (cfg *Config) hasVLANs() bool { return cfg.VLAN != 0 || len(cfg.Tags) > 0 }

func filtersVLANs(link netlink.Link) bool {
	bridge, ok := link.(*netlink.Bridge)
	return ok && bridge.VlanFiltering != nil && *bridge.VlanFiltering
}

// setVLANs has the port carry its VLANs and no other.
func setVLANs(link netlink.Link, cfg Config) error {
	name := link.Attrs().Name
	vlans, err := netlink.BridgeVlanList()
	if err != nil {
		return failed(err, "error adding vlan filter to interface %s", name)
	}
	for _, old := range vlans[int32(link.Attrs().Index)] {
		if err := netlink.BridgeVlanDel(link, old.Vid, false, false, false, true); err != nil {
			return failed(err, "error removing vlan filter from interface %s", name)
		}
	}
	for _, id := range cfg.Tags {
		if err := netlink.BridgeVlanAdd(link, id, false, false, false, true); err != nil {
			return failed(err, "error adding vlan filter to interface %s", name)
		}
	}
	if cfg.VLAN == 0 {
		return nil
	}
	if err := netlink.BridgeVlanAdd(link, cfg.VLAN, true, true, false, true); err != nil {
		return failed(err, "error adding vlan filter to interface %s", name)
	}
	return nil
}
