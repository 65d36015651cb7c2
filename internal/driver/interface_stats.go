package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// DomainInterfaceStats tells the counters of an interface, named by its target
// or MAC address, as the guest sees them.
func (c *Conn) DomainInterfaceStats(ctx context.Context, a *libvirt.DomainInterfaceStatsArgs) (*libvirt.DomainInterfaceStatsRet, error) {
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	live := d.View().Live
	if live == nil {
		return nil, domain.ErrNotRunning()
	}
	n, err := live.Interface(a.Device)
	if err != nil {
		return nil, err
	}
	if n.Type == domxml.InterfaceVHostUser {
		return nil, virerr.New(libvirt.ErrOperationUnsupported,
			"the counters of interface '%s' are not available: of type vhostuser only the process behind the socket sees the frames", a.Device)
	}
	all, err := d.InterfaceStats(ctx)
	if err != nil {
		return nil, err
	}
	s, known := all[n.Alias]
	if !known {
		return nil, virerr.New(libvirt.ErrOperationFailed, "the counters of interface '%s' are not available: its network does not answer", a.Device)
	}
	return &libvirt.DomainInterfaceStatsRet{
		RxBytes: int64(s.RxBytes), RxPackets: int64(s.RxPackets), RxErrs: int64(s.RxErrors), RxDrop: int64(s.RxDropped),
		TxBytes: int64(s.TxBytes), TxPackets: int64(s.TxPackets), TxErrs: int64(s.TxErrors), TxDrop: int64(s.TxDropped),
	}, nil
}

// The parameters of an interface, in KiB and KiB a second.
const (
	inAverage, inPeak, inBurst, inFloor = libvirt.DomainBandwidthInAverage, libvirt.DomainBandwidthInPeak,
		libvirt.DomainBandwidthInBurst, libvirt.DomainBandwidthInFloor
	outAverage, outPeak, outBurst = libvirt.DomainBandwidthOutAverage, libvirt.DomainBandwidthOutPeak,
		libvirt.DomainBandwidthOutBurst
)

// DomainGetInterfaceParameters tells the limits of an interface; asked for
// none, how many there are.
func (c *Conn) DomainGetInterfaceParameters(_ context.Context, a *libvirt.DomainGetInterfaceParametersArgs) (*libvirt.DomainGetInterfaceParametersRet, error) {
	impact := a.Flags &^ libvirt.DomainModificationImpact(libvirt.TypedParamStringOkay)
	if err := checkTarget(impact, "virDomainGetInterfaceParameters"); err != nil {
		return nil, err
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	def, err := target(impact).Pick(v)
	if err != nil {
		return nil, err
	}
	if def == nil {
		return nil, errGone(v)
	}
	all := bandwidthParams(domxml.Interface{})
	if a.Nparams == 0 {
		return &libvirt.DomainGetInterfaceParametersRet{Nparams: int32(len(all))}, nil
	}
	n, err := def.Interface(a.Device)
	if err != nil {
		return nil, err
	}
	all = atMost(bandwidthParams(n), a.Nparams)
	return &libvirt.DomainGetInterfaceParametersRet{Params: all, Nparams: int32(len(all))}, nil
}

func bandwidthParams(n domxml.Interface) []libvirt.TypedParam {
	var p params
	p.addUint(inAverage, n.Inbound.Average)
	p.addUint(inPeak, n.Inbound.Peak)
	p.addUint(inBurst, n.Inbound.Burst)
	p.addUint(inFloor, n.Inbound.Floor)
	p.addUint(outAverage, n.Outbound.Average)
	p.addUint(outPeak, n.Outbound.Peak)
	p.addUint(outBurst, n.Outbound.Burst)
	return p
}

// DomainSetInterfaceParameters changes the limits of an interface. A direction
// without average and floor stays as it is; with an average of 0 its limits go.
func (c *Conn) DomainSetInterfaceParameters(ctx context.Context, a *libvirt.DomainSetInterfaceParametersArgs) error {
	flags := libvirt.DomainModificationImpact(a.Flags &^ uint32(libvirt.TypedParamStringOkay))
	if err := checkFlags(flags, bothSides, "virDomainSetInterfaceParameters"); err != nil {
		return err
	}
	values, err := uintParams(a.Params, inAverage, inPeak, inBurst, inFloor, outAverage, outPeak, outBurst)
	if err != nil {
		return err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	given := func(names ...string) bool {
		for _, name := range names {
			if _, found := values[name]; found {
				return true
			}
		}
		return false
	}
	var inbound, outbound *domxml.Bandwidth
	if given(inAverage, inFloor) {
		inbound = &domxml.Bandwidth{
			Average: values[inAverage], Peak: values[inPeak], Burst: values[inBurst], Floor: values[inFloor],
		}
	}
	if given(outAverage) {
		outbound = &domxml.Bandwidth{Average: values[outAverage], Peak: values[outPeak], Burst: values[outBurst]}
	}
	return d.SetBandwidth(ctx, a.Device, inbound, outbound, target(flags))
}

// DomainInterfaceAddresses lists the interfaces of the running guest that have
// addresses, from one source.
func (c *Conn) DomainInterfaceAddresses(ctx context.Context, a *libvirt.DomainInterfaceAddressesArgs) (*libvirt.DomainInterfaceAddressesRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainInterfaceAddresses"); err != nil {
		return nil, err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	source, err := addressSource(a.Source)
	if err != nil {
		return nil, err
	}
	all, err := d.InterfaceAddresses(ctx, source)
	if err != nil {
		return nil, err
	}
	live := d.View().Live
	if live == nil {
		return nil, domain.ErrNotRunning()
	}
	ret := &libvirt.DomainInterfaceAddressesRet{}
	for _, n := range live.Interfaces {
		if addresses := all[n.Alias]; len(addresses) > 0 {
			ret.Ifaces = append(ret.Ifaces, interfaceObject(n, addresses))
		}
	}
	return ret, nil
}

func addressSource(source uint32) (domain.AddressSource, error) {
	switch libvirt.DomainInterfaceAddressesSource(source) {
	case libvirt.DomainInterfaceAddressesSrcLease:
		return domain.AddressLeases, nil
	case libvirt.DomainInterfaceAddressesSrcArp:
		return domain.AddressARP, nil
	case libvirt.DomainInterfaceAddressesSrcAgent:
		return 0, virerr.New(libvirt.ErrArgumentUnsupported, "there is no agent in the guest, and its kernel does not tell its addresses; use the source lease or arp")
	}
	return 0, virerr.New(libvirt.ErrArgumentUnsupported, "Unknown IP address data source %d", source)
}

func interfaceObject(n domxml.Interface, addresses []domain.Address) libvirt.DomainInterface {
	object := libvirt.DomainInterface{Name: n.Target, Hwaddr: libvirt.OptString{n.MAC}}
	for _, address := range addresses {
		family := libvirt.IPAddrTypeIpv4
		if address.Is6() {
			family = libvirt.IPAddrTypeIpv6
		}
		object.Addrs = append(object.Addrs, libvirt.DomainIPAddr{
			Type: int32(family), Addr: address.String(), Prefix: uint32(address.Prefix),
		})
	}
	return object
}
