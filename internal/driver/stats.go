package driver

import (
	"context"
	"strconv"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
	"virtumld/internal/virerr"
)

// The filters and flags of virConnectGetAllDomainStats. The filters have the
// values of those of a list of domains.
const (
	statsFilters = listActive | listInactive | listPersistent | listTransient |
		listRunning | listPaused | listShutoff | listOther
	statsEnforce = uint32(libvirt.ConnectGetAllDomainsStatsEnforceStats)
	statsFlags   = uint32(statsFilters) | uint32(libvirt.ConnectGetAllDomainsStatsNowait) |
		uint32(libvirt.ConnectGetAllDomainsStatsBacking) | statsEnforce
)

// statsGroup tells one group of numbers of a domain. What is not known at the
// moment is left out, as libvirt does.
type statsGroup struct {
	kind libvirt.DomainStatsTypes
	add  func(ctx context.Context, p *params, d *domain.Domain, v *domain.View)
}

var statsGroups = []statsGroup{
	{libvirt.DomainStatsState, addStateStats},
	{libvirt.DomainStatsCPUTotal, addCPUStats},
	{libvirt.DomainStatsBalloon, addBalloonStats},
	{libvirt.DomainStatsVCPU, addVCPUStats},
	{libvirt.DomainStatsInterface, addInterfaceStats},
	{libvirt.DomainStatsBlock, addBlockStats},
}

// ConnectGetAllDomainStats tells groups of numbers of many domains at once:
// those that are named, else all, as far as they pass the filters.
func (c *Conn) ConnectGetAllDomainStats(ctx context.Context, a *libvirt.ConnectGetAllDomainStatsArgs) (*libvirt.ConnectGetAllDomainStatsRet, error) {
	if err := checkFlags(a.Flags, statsFlags, "virConnectGetAllDomainStats"); err != nil {
		return nil, err
	}
	groups, err := groupsOf(a.Stats, a.Flags&statsEnforce != 0)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.ConnectGetAllDomainStatsRet{}
	for _, d := range c.statsDomains(a.Doms, libvirt.ConnectListAllDomainsFlags(a.Flags)&statsFilters) {
		v := d.View()
		if v.Definition() == nil {
			continue // gone since
		}
		var p params
		for _, g := range groups {
			g.add(ctx, &p, d, v)
		}
		ret.RetStats = append(ret.RetStats, libvirt.DomainStatsRecord{Dom: object(v.Identity), Params: p})
	}
	return ret, nil
}

// groupsOf are the groups that a client asks for; 0 is all.
func groupsOf(asked uint32, enforce bool) ([]statsGroup, error) {
	if asked == 0 {
		return statsGroups, nil
	}
	var groups []statsGroup
	left := asked
	for _, g := range statsGroups {
		if asked&uint32(g.kind) != 0 {
			groups = append(groups, g)
			left &^= uint32(g.kind)
		}
	}
	if enforce && left != 0 {
		return nil, virerr.New(libvirt.ErrArgumentUnsupported, "Stats types bits 0x%x are not supported by this daemon", left)
	}
	return groups, nil
}

// statsDomains are the domains that are named, those that are gone passed
// over, or all, sorted as a list of domains is.
func (c *Conn) statsDomains(named []libvirt.Domain, filters libvirt.ConnectListAllDomainsFlags) []*domain.Domain {
	var domains []*domain.Domain
	if len(named) == 0 {
		for _, v := range c.sorted(filters) {
			if d, err := c.driver.domains.ByUUID(v.UUID, v.Name); err == nil {
				domains = append(domains, d)
			}
		}
		return domains
	}
	for _, dom := range named {
		d, err := c.driver.domains.ByUUID(uuid.UUID(dom.UUID), dom.Name)
		if err == nil && matches(d.View(), filters) {
			domains = append(domains, d)
		}
	}
	return domains
}

func addStateStats(_ context.Context, p *params, _ *domain.Domain, v *domain.View) {
	p.addInt("state.state", int32(v.State))
	p.addInt("state.reason", v.Reason)
}

func addCPUStats(_ context.Context, p *params, d *domain.Domain, v *domain.View) {
	if v.Active() {
		p.addUllong("cpu.time", d.CPUTime())
	}
}

func addBalloonStats(_ context.Context, p *params, _ *domain.Domain, v *domain.View) {
	def := v.Definition()
	p.addUllong("balloon.current", def.CurrentMemory)
	p.addUllong("balloon.maximum", def.MaxMemory)
}

// vcpuRunning is VIR_VCPU_RUNNING.
const vcpuRunning = 1

func addVCPUStats(_ context.Context, p *params, _ *domain.Domain, v *domain.View) {
	def := v.Definition()
	p.addUint("vcpu.current", uint32(def.VCPUsCurrent))
	p.addUint("vcpu.maximum", uint32(def.VCPUs))
	if !v.Active() {
		return
	}
	for i := range def.VCPUsCurrent {
		p.addInt("vcpu."+strconv.FormatUint(uint64(i), 10)+".state", vcpuRunning)
	}
}

func addInterfaceStats(ctx context.Context, p *params, d *domain.Domain, v *domain.View) {
	if v.Live == nil {
		return
	}
	p.addUint("net.count", uint32(len(v.Live.Interfaces)))
	if len(v.Live.Interfaces) == 0 {
		return
	}
	all, err := d.InterfaceStats(ctx)
	for i, n := range v.Live.Interfaces {
		prefix := "net." + strconv.Itoa(i)
		p.addString(prefix+".name", n.Target)
		s, known := all[n.Alias]
		if err != nil || !known {
			continue
		}
		for _, counter := range []struct {
			name  string
			value uint64
		}{
			{".rx.bytes", s.RxBytes}, {".rx.pkts", s.RxPackets}, {".rx.errs", s.RxErrors}, {".rx.drop", s.RxDropped},
			{".tx.bytes", s.TxBytes}, {".tx.pkts", s.TxPackets}, {".tx.errs", s.TxErrors}, {".tx.drop", s.TxDropped},
		} {
			p.addUllong(prefix+counter.name, counter.value)
		}
	}
}

func addBlockStats(ctx context.Context, p *params, d *domain.Domain, v *domain.View) {
	disks := v.Definition().Disks
	p.addUint("block.count", uint32(len(disks)))
	for i, disk := range disks {
		prefix := "block." + strconv.Itoa(i)
		p.addString(prefix+".name", disk.Target)
		if disk.Path != "" {
			p.addString(prefix+".path", disk.Path)
		}
		info, err := d.DiskInfo(ctx, disk.Target)
		if err != nil {
			continue
		}
		p.addUllong(prefix+".allocation", info.Allocation)
		p.addUllong(prefix+".capacity", info.Capacity)
		p.addUllong(prefix+".physical", info.Physical)
	}
}
