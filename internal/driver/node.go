package driver

import (
	"context"
	"errors"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/hostinfo"
	"virtumld/internal/virerr"
)

// HostView is what calls about the host read from.
type HostView struct {
	// Info reads the host's processors, memory and identity.
	Info *hostinfo.Host
	// Kernel tells of the UML kernel at path; of the one that boots domains
	// without a kernel of their own when path is "".
	Kernel func(ctx context.Context, path string) (Kernel, error)
	// Label is the user and group of the guests' processes ("+123:+123")
	// when they are not the daemon's own, else "".
	Label string
}

// Kernel is what is told of a UML kernel. For clients, the default one's
// version is the hypervisor's.
type Kernel struct {
	// Path is the binary's.
	Path string
	// Major, Minor and Patch are its release: 6, 1, 0 for "6.1".
	Major, Minor, Patch int
	// MaxVCPUs is how many processors its guests can have.
	MaxVCPUs int
}

// errHost is an error of reading the host.
func errHost(err error) error {
	return virerr.New(libvirt.ErrInternalError, "cannot tell what this host is: %w", err)
}

// NodeGetInfo tells the host's architecture, memory in KiB, processors, their
// MHz and their layout.
func (c *Conn) NodeGetInfo(context.Context) (*libvirt.NodeGetInfoRet, error) {
	info, err := c.driver.host.Info.NodeInfo()
	if err != nil {
		return nil, errHost(err)
	}
	ret := &libvirt.NodeGetInfoRet{
		Memory:  info.MemoryKiB,
		Cpus:    int32(info.CPUs),
		Mhz:     int32(info.MHz),
		Nodes:   int32(info.Nodes),
		Sockets: int32(info.Sockets),
		Cores:   int32(info.Cores),
		Threads: int32(info.Threads),
	}
	copy(ret.Model[:len(ret.Model)-1], chars(info.Arch))
	return ret, nil
}

// chars is text as the protocol's arrays of char.
func chars(text string) []int8 {
	out := make([]int8, len(text))
	for i := range len(text) {
		out[i] = int8(text[i])
	}
	return out
}

// NodeGetCPUMap tells which processors are online. Ret is how many there are,
// counted up to the highest number present.
func (c *Conn) NodeGetCPUMap(_ context.Context, a *libvirt.NodeGetCPUMapArgs) (*libvirt.NodeGetCPUMapRet, error) {
	if err := checkFlags(a.Flags, 0, "virNodeGetCPUMap"); err != nil {
		return nil, err
	}
	cpus, err := c.driver.host.Info.CPUMap()
	if err != nil {
		return nil, errHost(err)
	}
	ret := &libvirt.NodeGetCPUMapRet{Ret: int32(cpus.Present.Bound())}
	if a.NeedMap != 0 {
		ret.Cpumap = cpus.Online.Bitmap(cpus.Present.Bound())
	}
	if a.NeedOnline != 0 {
		ret.Online = uint32(len(cpus.Online))
	}
	return ret, nil
}

// NodeGetCPUStats tells the ns since boot of one processor, or of all
// (libvirt.NodeCPUStatsAllCpus).
func (c *Conn) NodeGetCPUStats(_ context.Context, a *libvirt.NodeGetCPUStatsArgs) (*libvirt.NodeGetCPUStatsRet, error) {
	const api = "virNodeGetCPUStats"
	if err := checkFlags(a.Flags, 0, api); err != nil {
		return nil, err
	}
	if a.CPUNum < hostinfo.AllCPUs {
		return nil, virerr.New(libvirt.ErrInvalidArg, "cpuNum in %s only accepts %d as a negative value", api, hostinfo.AllCPUs)
	}
	const count = 4
	if asked, err := probing(a.Nparams, count, api); asked || err != nil {
		return &libvirt.NodeGetCPUStatsRet{Nparams: count}, err
	}
	times, err := c.driver.host.Info.CPUTimes(int(a.CPUNum))
	if errors.Is(err, hostinfo.ErrNotFound) {
		return nil, virerr.New(libvirt.ErrInvalidArg, "Invalid cpuNum in %s: no processor %d is online", api, a.CPUNum)
	}
	if err != nil {
		return nil, errHost(err)
	}
	return &libvirt.NodeGetCPUStatsRet{
		Params: []libvirt.NodeGetCPUStats{
			{Field: libvirt.NodeCPUStatsKernel, Value: times.Kernel},
			{Field: libvirt.NodeCPUStatsUser, Value: times.User},
			{Field: libvirt.NodeCPUStatsIdle, Value: times.Idle},
			{Field: libvirt.NodeCPUStatsIowait, Value: times.IOWait},
		},
		Nparams: count,
	}, nil
}

// probing applies libvirt's rule for calls that fill a caller's array: with
// nparams 0 only the count is asked for, else nparams must be the count.
func probing(nparams, count int32, api string) (bool, error) {
	switch nparams {
	case 0:
		return true, nil
	case count:
		return false, nil
	default:
		return false, virerr.New(libvirt.ErrInvalidArg, "nparams in %s must be equal to %d", api, count)
	}
}

// NodeGetMemoryStats tells a NUMA cell's memory in KiB, or the host's
// (libvirt.NodeMemoryStatsAllCells).
func (c *Conn) NodeGetMemoryStats(_ context.Context, a *libvirt.NodeGetMemoryStatsArgs) (*libvirt.NodeGetMemoryStatsRet, error) {
	const api = "virNodeGetMemoryStats"
	if err := checkFlags(a.Flags, 0, api); err != nil {
		return nil, err
	}
	if a.CellNum < hostinfo.AllCells {
		return nil, virerr.New(libvirt.ErrInvalidArg, "cellNum in %s only accepts %d as a negative value", api, hostinfo.AllCells)
	}
	memory, err := c.driver.host.Info.Memory(int(a.CellNum))
	if errors.Is(err, hostinfo.ErrNotFound) {
		return nil, virerr.New(libvirt.ErrInvalidArg, "cellNum in %s: this host has no cell %d", api, a.CellNum)
	}
	if err != nil {
		return nil, errHost(err)
	}
	params := []libvirt.NodeGetMemoryStats{
		{Field: libvirt.NodeMemoryStatsTotal, Value: memory.TotalKiB},
		{Field: libvirt.NodeMemoryStatsFree, Value: memory.FreeKiB},
	}
	if a.CellNum == hostinfo.AllCells {
		params = append(params,
			libvirt.NodeGetMemoryStats{Field: libvirt.NodeMemoryStatsBuffers, Value: memory.BuffersKiB},
			libvirt.NodeGetMemoryStats{Field: libvirt.NodeMemoryStatsCached, Value: memory.CachedKiB})
	}
	count := int32(len(params))
	if asked, err := probing(a.Nparams, count, api); asked || err != nil {
		return &libvirt.NodeGetMemoryStatsRet{Nparams: count}, err
	}
	return &libvirt.NodeGetMemoryStatsRet{Params: params, Nparams: count}, nil
}

// NodeGetFreeMemory tells the host's free memory in bytes.
func (c *Conn) NodeGetFreeMemory(context.Context) (*libvirt.NodeGetFreeMemoryRet, error) {
	memory, err := c.driver.host.Info.MemoryOfCells()
	if err != nil {
		return nil, errHost(err)
	}
	return &libvirt.NodeGetFreeMemoryRet{FreeMem: memory.FreeKiB * 1024}, nil
}

// maxCells bounds the numbers in one answer (REMOTE_NODE_MAX_CELLS).
const maxCells = 1024

// NodeGetCellsFreeMemory tells the free memory of some NUMA cells in bytes.
func (c *Conn) NodeGetCellsFreeMemory(_ context.Context, a *libvirt.NodeGetCellsFreeMemoryArgs) (*libvirt.NodeGetCellsFreeMemoryRet, error) {
	const api = "virNodeGetCellsFreeMemory"
	switch {
	case a.Maxcells <= 0:
		return nil, virerr.New(libvirt.ErrInvalidArg, "maxCells in %s must be greater than zero", api)
	case a.Maxcells > maxCells:
		return nil, virerr.New(libvirt.ErrInternalError, "maxCells in %s must be at most %d", api, maxCells)
	case a.StartCell < 0:
		return nil, virerr.New(libvirt.ErrInvalidArg, "startCell in %s must be zero or greater", api)
	}
	last, err := c.lastCell(a.StartCell, uint32(a.Maxcells))
	if err != nil {
		return nil, err
	}
	ret := &libvirt.NodeGetCellsFreeMemoryRet{}
	for cell := int(a.StartCell); cell <= last; cell++ {
		memory, err := c.driver.host.Info.Memory(cell)
		if err != nil && !errors.Is(err, hostinfo.ErrNotFound) {
			return nil, errHost(err)
		}
		// Cells may be numbered with gaps; a gap has no memory.
		ret.Cells = append(ret.Cells, memory.FreeKiB*1024)
	}
	return ret, nil
}

// lastCell is the last of count cells from start on.
func (c *Conn) lastCell(start int32, count uint32) (int, error) {
	highest, err := c.driver.host.Info.MaxCell()
	if err != nil {
		return 0, errHost(err)
	}
	if int(start) > highest {
		return 0, virerr.New(libvirt.ErrInternalError, "start cell %d out of range (0-%d)", start, highest)
	}
	return int(min(int64(highest), int64(start)+int64(count)-1)), nil
}

// NodeGetFreePages counts the free pages of some sizes (in KiB) in some NUMA
// cells, cell by cell; cell -1 is the host.
func (c *Conn) NodeGetFreePages(_ context.Context, a *libvirt.NodeGetFreePagesArgs) (*libvirt.NodeGetFreePagesRet, error) {
	const api = "virNodeGetFreePages"
	if err := checkFlags(a.Flags, 0, api); err != nil {
		return nil, err
	}
	switch {
	case len(a.Pages) == 0:
		return nil, virerr.New(libvirt.ErrInvalidArg, "npages in %s must not be zero", api)
	case a.CellCount == 0:
		return nil, virerr.New(libvirt.ErrInvalidArg, "cellCount in %s must not be zero", api)
	case a.StartCell < hostinfo.AllCells:
		return nil, virerr.New(libvirt.ErrInvalidArg, "startCell in %s only accepts %d as a negative value", api, hostinfo.AllCells)
	case uint64(len(a.Pages))*uint64(a.CellCount) > maxCells:
		return nil, virerr.New(libvirt.ErrInternalError, "%s answers at most %d numbers", api, maxCells)
	}
	last, err := c.lastCell(a.StartCell, a.CellCount)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.NodeGetFreePagesRet{}
	for cell := int(a.StartCell); cell <= last; cell++ {
		for _, size := range a.Pages {
			free, err := c.driver.host.Info.FreePages(cell, size)
			if errors.Is(err, hostinfo.ErrNotFound) {
				return nil, virerr.New(libvirt.ErrOperationFailed, "page size %d is not available on node %d", size, cell)
			}
			if err != nil {
				return nil, errHost(err)
			}
			ret.Counts = append(ret.Counts, free)
		}
	}
	return ret, nil
}

// NodeGetSecurityModel answers two empty strings: guests have no labels of a
// security module.
func (c *Conn) NodeGetSecurityModel(context.Context) (*libvirt.NodeGetSecurityModelRet, error) {
	// libvirtd sends a string's zero byte along.
	return &libvirt.NodeGetSecurityModelRet{Model: []int8{0}, Doi: []int8{0}}, nil
}
