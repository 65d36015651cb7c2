package driver

import (
	"context"
	"strconv"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

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
	add  func(ctx context.Context, p *params, s *statsSubject)
}

// statsSubject is a domain of which numbers are told, at one moment.
type statsSubject struct {
	*domain.Domain
	view *domain.View
	used *domain.Usage // nil until it is needed
}

// usage is counted once for all groups.
func (s *statsSubject) usage() domain.Usage {
	if s.used == nil {
		used := s.Usage()
		s.used = &used
	}
	return *s.used
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
	domains := c.statsDomains(a.Doms, libvirt.ConnectListAllDomainsFlags(a.Flags)&statsFilters)
	return &libvirt.ConnectGetAllDomainStatsRet{RetStats: statsOf(ctx, domains, groups)}, nil
}

// statsTogether is how many guests are asked at the same time: those that hang
// must not add up.
const statsTogether = 64

// statsOf are the groups of each domain that is still there.
func statsOf(ctx context.Context, domains []*domain.Domain, groups []statsGroup) []libvirt.DomainStatsRecord {
	records := make([]*libvirt.DomainStatsRecord, len(domains))
	var asking errgroup.Group
	asking.SetLimit(statsTogether)
	for i, d := range domains {
		asking.Go(func() error {
			records[i] = statsRecord(ctx, d, groups)
			return nil
		})
	}
	_ = asking.Wait() // none fails
	var there []libvirt.DomainStatsRecord
	for _, record := range records {
		if record != nil {
			there = append(there, *record)
		}
	}
	return there
}

// statsRecord is nil for a domain that is gone.
func statsRecord(ctx context.Context, d *domain.Domain, groups []statsGroup) *libvirt.DomainStatsRecord {
	v := d.View()
	if v.Definition() == nil {
		return nil
	}
	s := &statsSubject{Domain: d, view: v}
	var p params
	for _, g := range groups {
		g.add(ctx, &p, s)
	}
	return &libvirt.DomainStatsRecord{Dom: object(v.Identity), Params: p}
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

func addStateStats(_ context.Context, p *params, s *statsSubject) {
	p.addInt("state.state", int32(s.view.State))
	p.addInt("state.reason", s.view.Reason)
}

func addInterfaceStats(ctx context.Context, p *params, s *statsSubject) {
	if s.view.Live == nil {
		return
	}
	p.addUint("net.count", uint32(len(s.view.Live.Interfaces)))
	if len(s.view.Live.Interfaces) == 0 {
		return
	}
	all, err := s.InterfaceStats(ctx)
	for i, n := range s.view.Live.Interfaces {
		prefix := "net." + strconv.Itoa(i)
		if n.Target != "" { // type vhostuser has none
			p.addString(prefix+".name", n.Target)
		}
		counted, known := all[n.Alias]
		if err != nil || !known {
			continue
		}
		for _, counter := range []struct {
			name  string
			value uint64
		}{
			{".rx.bytes", counted.RxBytes}, {".rx.pkts", counted.RxPackets}, {".rx.errs", counted.RxErrors}, {".rx.drop", counted.RxDropped},
			{".tx.bytes", counted.TxBytes}, {".tx.pkts", counted.TxPackets}, {".tx.errs", counted.TxErrors}, {".tx.drop", counted.TxDropped},
		} {
			p.addUllong(prefix+counter.name, counter.value)
		}
	}
}
