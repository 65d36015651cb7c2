package driver

import (
	"context"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/guestproc"
	"virtumld/internal/virerr"
)

// memoryStat is one number of a guest's memory, as virDomainMemoryStats and
// as virConnectGetAllDomainStats call it.
type memoryStat struct {
	tag   libvirt.DomainMemoryStatTags
	name  string
	value uint64
}

// DomainMemoryStats tells of the running guest's memory, in KiB: what the host
// has counted, and what the guest's kernel says if it answers.
func (c *Conn) DomainMemoryStats(ctx context.Context, a *libvirt.DomainMemoryStatsArgs) (*libvirt.DomainMemoryStatsRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainMemoryStats"); err != nil {
		return nil, err
	}
	const most = 1024 // REMOTE_DOMAIN_MEMORY_STATS_MAX
	if a.MaxStats > most {
		return nil, virerr.New(libvirt.ErrInternalError, "too many memory stats requested: %d, max %d", a.MaxStats, most)
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	def := d.View().Definition()
	if def == nil {
		return nil, domain.ErrNotRunning()
	}
	stats := append([]memoryStat{{tag: libvirt.DomainMemoryStatActualBalloon, value: def.CurrentMemory}}, guestMemory(ctx, d)...)
	stats = append(stats, memoryStat{tag: libvirt.DomainMemoryStatRss, value: d.Usage().RSS})
	ret := &libvirt.DomainMemoryStatsRet{}
	for _, s := range stats[:min(len(stats), int(a.MaxStats))] {
		ret.Stats = append(ret.Stats, libvirt.DomainMemoryStat{Tag: int32(s.tag), Val: s.value})
	}
	return ret, nil
}

// guestMemory is what the guest's kernel says of its memory, nothing if it
// does not answer.
func guestMemory(ctx context.Context, d *domain.Domain) []memoryStat {
	texts, err := d.Proc(ctx, "meminfo", "vmstat")
	if err != nil {
		return nil
	}
	m, errMemory := guestproc.ParseMeminfo(texts[0])
	p, errPaging := guestproc.ParseVmstat(texts[1])
	if errMemory != nil || errPaging != nil {
		return nil
	}
	return []memoryStat{
		{libvirt.DomainMemoryStatSwapIn, "swap_in", p.SwapIn},
		{libvirt.DomainMemoryStatSwapOut, "swap_out", p.SwapOut},
		{libvirt.DomainMemoryStatMajorFault, "major_fault", p.Major},
		{libvirt.DomainMemoryStatMinorFault, "minor_fault", p.Minor},
		{libvirt.DomainMemoryStatUnused, "unused", m.Free},
		{libvirt.DomainMemoryStatAvailable, "available", m.Total},
		{libvirt.DomainMemoryStatUsable, "usable", m.Available},
		{libvirt.DomainMemoryStatLastUpdate, "last-update", uint64(time.Now().Unix())},
		{libvirt.DomainMemoryStatDiskCaches, "disk_caches", m.Caches},
	}
}

func addBalloonStats(ctx context.Context, p *params, s *statsSubject) {
	def := s.view.Definition()
	p.addUllong("balloon.current", def.CurrentMemory)
	p.addUllong("balloon.maximum", def.MaxMemory)
	if !s.view.Active() {
		return
	}
	for _, stat := range guestMemory(ctx, s.Domain) {
		p.addUllong("balloon."+stat.name, stat.value)
	}
	p.addUllong("balloon.rss", s.usage().RSS)
}
