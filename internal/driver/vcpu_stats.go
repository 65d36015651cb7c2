package driver

import (
	"context"
	"strconv"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/hostinfo"
	"virtumld/internal/virerr"
)

// vcpuRunning is VIR_VCPU_RUNNING.
const vcpuRunning = 1

// cpuUnavailable is VIR_VCPU_INFO_CPU_UNAVAILABLE.
const cpuUnavailable = -2

// DomainGetCPUStats tells the CPU time in ns that all of the guest's processes
// have used, or with a StartCPU of a processor of the host that there are no
// numbers of single ones: the host's kernel keeps none.
func (c *Conn) DomainGetCPUStats(_ context.Context, a *libvirt.DomainGetCPUStatsArgs) (*libvirt.DomainGetCPUStatsRet, error) {
	if err := checkFlags(a.Flags, libvirt.TypedParamStringOkay, "virDomainGetCPUStats"); err != nil {
		return nil, err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	switch {
	case a.StartCPU < -1 || a.StartCPU == -1 && a.Ncpus != 1:
		return nil, virerr.New(libvirt.ErrInvalidArg, "start_cpu in virDomainGetCPUStats is %d with %d cpus: -1 goes with 1 only", a.StartCPU, a.Ncpus)
	case a.StartCPU >= 0 && a.Ncpus == 0:
		cpus, err := c.driver.host.Info.CPUMap()
		if err != nil {
			return nil, errHost(err)
		}
		return &libvirt.DomainGetCPUStatsRet{Nparams: int32(cpus.Present.Bound())}, nil
	case a.StartCPU >= 0:
		return &libvirt.DomainGetCPUStatsRet{}, nil
	}
	used := d.Usage()
	var p params
	p.addUllong(libvirt.DomainCPUStatsCputime, used.CPUTime())
	p.addUllong(libvirt.DomainCPUStatsUsertime, used.User)
	p.addUllong(libvirt.DomainCPUStatsSystemtime, used.System)
	if a.Nparams == 0 {
		return &libvirt.DomainGetCPUStatsRet{Nparams: int32(len(p))}, nil
	}
	all := atMost(p, int32(min(a.Nparams, uint32(len(p)))))
	return &libvirt.DomainGetCPUStatsRet{Params: all, Nparams: int32(len(all))}, nil
}

// DomainGetVcpus tells of the running guest's virtual CPUs: their CPU time,
// the host's processor, and which ones they may run on. A guest's processes
// belong to all its virtual CPUs together, so that with several of them no
// time can be told of one.
func (c *Conn) DomainGetVcpus(_ context.Context, a *libvirt.DomainGetVcpusArgs) (*libvirt.DomainGetVcpusRet, error) {
	const most = 16384 // REMOTE_VCPUINFO_MAX
	const mostMaps = 8388608
	switch {
	case a.Maxinfo < 0 || a.Maplen < 0:
		return nil, virerr.New(libvirt.ErrInvalidArg, "maxinfo and maplen in virDomainGetVcpus must be zero or greater")
	case a.Maxinfo > most:
		return nil, virerr.New(libvirt.ErrInternalError, "maxinfo %d in virDomainGetVcpus is more than %d", a.Maxinfo, most)
	case int64(a.Maxinfo)*int64(a.Maplen) > mostMaps:
		return nil, virerr.New(libvirt.ErrInternalError, "maxinfo * maplen in virDomainGetVcpus is more than %d", mostMaps)
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	def := d.View().Definition()
	if def == nil {
		return nil, domain.ErrNotRunning()
	}
	used, affinity := d.Usage(), hostinfo.CPUSet(d.Affinity())
	cpu := int32(used.CPU)
	if def.VCPUsCurrent > 1 {
		cpu = cpuUnavailable
	}
	ret := &libvirt.DomainGetVcpusRet{}
	for i := range min(uint32(def.VCPUsCurrent), uint32(a.Maxinfo)) {
		ret.Info = append(ret.Info, libvirt.VcpuInfo{
			Number: i, State: vcpuRunning, CPUTime: vcpuTime(def.VCPUsCurrent, used), CPU: cpu,
		})
		ret.Cpumaps = append(ret.Cpumaps, affinity.Bitmap(8*int(a.Maplen))...)
	}
	return ret, nil
}

// vcpuTime is the CPU time in ns of each of count virtual CPUs, 0 where it is
// not known.
func vcpuTime(count uint, used domain.Usage) uint64 {
	if count > 1 {
		return 0
	}
	return used.CPUTime()
}

func addCPUStats(_ context.Context, p *params, s *statsSubject) {
	if !s.view.Active() {
		return
	}
	used := s.usage()
	p.addUllong("cpu.time", used.CPUTime())
	p.addUllong("cpu.user", used.User)
	p.addUllong("cpu.system", used.System)
}

func addVCPUStats(_ context.Context, p *params, s *statsSubject) {
	def := s.view.Definition()
	p.addUint("vcpu.current", uint32(def.VCPUsCurrent))
	p.addUint("vcpu.maximum", uint32(def.VCPUs))
	if !s.view.Active() {
		return
	}
	for i := range def.VCPUsCurrent {
		prefix := "vcpu." + strconv.FormatUint(uint64(i), 10)
		p.addInt(prefix+".state", vcpuRunning)
		if time := vcpuTime(def.VCPUsCurrent, s.usage()); time > 0 {
			p.addUllong(prefix+".time", time)
		}
	}
}
