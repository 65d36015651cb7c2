package driver

import (
	"context"
	"math"
	"strconv"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/guestproc"
	"virtumld/internal/virerr"
)

// guestDisks are the counters that the guest's kernel keeps, by the guest's
// names of its disks.
func guestDisks(ctx context.Context, d *domain.Domain) (map[string]guestproc.Disk, error) {
	texts, err := d.Proc(ctx, "diskstats")
	if err != nil {
		return nil, err
	}
	disks, err := guestproc.ParseDiskstats(texts[0])
	if err != nil {
		return nil, virerr.New(libvirt.ErrOperationFailed, "%w", err)
	}
	return disks, nil
}

// inGuest is the guest's name of a disk: units count from ubda on.
func inGuest(disk domxml.Disk) string { return "ubd" + string(rune('a'+disk.Unit)) }

// diskCounters are the counters of one disk of the running guest, or of all
// together when name is "".
func (c *Conn) diskCounters(ctx context.Context, dom libvirt.Domain, name string) (guestproc.Disk, error) {
	d, err := c.findActive(dom)
	if err != nil {
		return guestproc.Disk{}, err
	}
	live := d.View().Live
	if live == nil {
		return guestproc.Disk{}, domain.ErrNotRunning()
	}
	disks := live.Disks
	if name != "" {
		disk, found := live.Disk(name)
		if !found {
			return guestproc.Disk{}, virerr.New(libvirt.ErrInvalidArg, "invalid path: %s", name)
		}
		disks = []domxml.Disk{disk}
	}
	all, err := guestDisks(ctx, d)
	if err != nil {
		return guestproc.Disk{}, err
	}
	var sum guestproc.Disk
	for _, disk := range disks {
		counters, known := all[inGuest(disk)]
		if !known {
			return guestproc.Disk{}, virerr.New(libvirt.ErrOperationFailed, "the guest's kernel has no disk '%s' (/dev/%s)", disk.Target, inGuest(disk))
		}
		sum = sum.Add(counters)
	}
	return sum, nil
}

// signed fits a counter into libvirt's signed one.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// DomainBlockStats tells the counters of a disk, or of all when its path is
// "". Errors are not counted: -1.
func (c *Conn) DomainBlockStats(ctx context.Context, a *libvirt.DomainBlockStatsArgs) (*libvirt.DomainBlockStatsRet, error) {
	n, err := c.diskCounters(ctx, a.Dom, a.Path)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainBlockStatsRet{
		RdReq: signed(n.Read.Requests), RdBytes: signed(n.Read.Bytes),
		WrReq: signed(n.Write.Requests), WrBytes: signed(n.Write.Bytes), Errs: -1,
	}, nil
}

// DomainBlockStatsFlags is DomainBlockStats in typed parameters, with the
// times in ns; asked for none, it tells how many there are.
func (c *Conn) DomainBlockStatsFlags(ctx context.Context, a *libvirt.DomainBlockStatsFlagsArgs) (*libvirt.DomainBlockStatsFlagsRet, error) {
	if err := checkFlags(a.Flags, uint32(libvirt.TypedParamStringOkay), "virDomainBlockStatsFlags"); err != nil {
		return nil, err
	}
	n, err := c.diskCounters(ctx, a.Dom, a.Path)
	if err != nil {
		return nil, err
	}
	var p params
	p.addLlong(libvirt.DomainBlockStatsWriteBytes, signed(n.Write.Bytes))
	p.addLlong(libvirt.DomainBlockStatsWriteReq, signed(n.Write.Requests))
	p.addLlong(libvirt.DomainBlockStatsReadBytes, signed(n.Read.Bytes))
	p.addLlong(libvirt.DomainBlockStatsReadReq, signed(n.Read.Requests))
	p.addLlong(libvirt.DomainBlockStatsWriteTotalTimes, signed(n.Write.Time))
	p.addLlong(libvirt.DomainBlockStatsReadTotalTimes, signed(n.Read.Time))
	p.addLlong(libvirt.DomainBlockStatsFlushReq, signed(n.Flush.Requests))
	p.addLlong(libvirt.DomainBlockStatsFlushTotalTimes, signed(n.Flush.Time))
	if a.Nparams == 0 {
		return &libvirt.DomainBlockStatsFlagsRet{Nparams: int32(len(p))}, nil
	}
	all := atMost(p, a.Nparams)
	return &libvirt.DomainBlockStatsFlagsRet{Params: all, Nparams: int32(len(all))}, nil
}

// DomainGetDiskErrors answers that no disk has stopped its guest by an error:
// a UML guest handles them itself. Asked for none, it tells how many disks
// there are.
func (c *Conn) DomainGetDiskErrors(_ context.Context, a *libvirt.DomainGetDiskErrorsArgs) (*libvirt.DomainGetDiskErrorsRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetDiskErrors"); err != nil {
		return nil, err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	def := d.View().Definition()
	if def == nil {
		return nil, domain.ErrNotRunning()
	}
	if a.Maxerrors == 0 {
		return &libvirt.DomainGetDiskErrorsRet{Nerrors: int32(len(def.Disks))}, nil
	}
	return &libvirt.DomainGetDiskErrorsRet{}, nil
}

func addBlockStats(ctx context.Context, p *params, s *statsSubject) {
	disks := s.view.Definition().Disks
	p.addUint("block.count", uint32(len(disks)))
	var counters map[string]guestproc.Disk
	if len(disks) > 0 && s.view.Active() {
		counters, _ = guestDisks(ctx, s.Domain) // none for a guest that does not answer
	}
	for i, disk := range disks {
		prefix := "block." + strconv.Itoa(i)
		p.addString(prefix+".name", disk.Target)
		if disk.Path != "" {
			p.addString(prefix+".path", disk.Path)
		}
		if n, known := counters[inGuest(disk)]; known {
			addDiskCounters(p, prefix, n)
		}
		info, err := s.DiskInfo(ctx, disk.Target)
		if err != nil {
			continue
		}
		p.addUllong(prefix+".allocation", info.Allocation)
		p.addUllong(prefix+".capacity", info.Capacity)
		p.addUllong(prefix+".physical", info.Physical)
	}
}

func addDiskCounters(p *params, prefix string, n guestproc.Disk) {
	for _, io := range []struct {
		name string
		guestproc.IO
	}{{".rd", n.Read}, {".wr", n.Write}, {".fl", n.Flush}} {
		p.addUllong(prefix+io.name+".reqs", io.Requests)
		if io.name != ".fl" {
			p.addUllong(prefix+io.name+".bytes", io.Bytes)
		}
		p.addUllong(prefix+io.name+".times", io.Time)
	}
}
