// Package capxml writes the two documents that tell clients what can be had:
// the host's capabilities and those of a domain. It computes texts from what
// it is given; it looks at neither the host nor a kernel.
package capxml

import (
	"strconv"

	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virxml"
)

// Host is what the capabilities say of the host.
type Host struct {
	// UUID is the host's, as libvirt has it; "" leaves it out.
	UUID string
	// Arch is the host's architecture by its kernel's name ("x86_64").
	Arch string
	// Vendor and Model are the CPU's; "" leaves them out.
	Vendor, Model string
	// Sockets, Cores and Threads are sockets per node, cores per socket and
	// threads per core.
	Sockets, Cores, Threads int
	// PageSizes are the sizes of the host's pages in KiB.
	PageSizes []int
	Cells     []Cell
	// Kernel is the default UML kernel's path; with "" no guest is offered.
	Kernel string
	// MaxVCPUs is how many virtual CPUs that kernel can have.
	MaxVCPUs uint
	// Label is the user and group of the guests' processes ("+123:+123")
	// when they are not the daemon's own, else "".
	Label string
}

// Cell is a NUMA node of the host.
type Cell struct {
	ID int
	// Memory is in KiB.
	Memory uint64
	Pages  []Pages
	CPUs   []CPU
	// Distances are the ACPI distances to each node by its id.
	Distances []Distance
}

// Pages says how many pages of Size KiB a node has.
type Pages struct {
	Size  int
	Count uint64
}

// Distance is the ACPI distance to the node ID.
type Distance struct{ ID, Value int }

// CPU is a logical CPU of the host.
type CPU struct {
	ID, Socket, Die, Core int
	// Siblings are the threads of its core as a list ("0-1,4").
	Siblings string
}

// Capabilities returns the capabilities document of host (libvirt's
// docs/formatcaps).
func Capabilities(host Host) (string, error) {
	caps := lx.Caps{Host: lx.CapsHost{
		UUID:            host.UUID,
		CPU:             hostCPU(host),
		PowerManagement: &lx.CapsHostPowerManagement{},
		IOMMU:           &lx.CapsHostIOMMU{Support: "no"},
		NUMA:            topology(host.Cells),
		SecModel:        secModels(host.Label),
	}}
	if host.Kernel != "" {
		caps.Guests = guests(host)
	}
	return virxml.Marshal(&caps, "")
}

func hostCPU(host Host) *lx.CapsHostCPU {
	cpu := &lx.CapsHostCPU{
		Arch: host.Arch, Vendor: host.Vendor, Model: host.Model,
		Topology: &lx.CapsHostCPUTopology{Sockets: host.Sockets, Dies: 1, Cores: host.Cores, Threads: host.Threads},
	}
	for _, size := range host.PageSizes {
		cpu.PageSizes = append(cpu.PageSizes, lx.CapsHostCPUPageSize{Size: size, Unit: "KiB"})
	}
	return cpu
}

func topology(cells []Cell) *lx.CapsHostNUMATopology {
	if len(cells) == 0 {
		return nil
	}
	list := &lx.CapsHostNUMACells{Num: uint(len(cells))}
	for _, c := range cells {
		list.Cells = append(list.Cells, cell(c))
	}
	return &lx.CapsHostNUMATopology{Cells: list}
}

func cell(c Cell) lx.CapsHostNUMACell {
	result := lx.CapsHostNUMACell{
		ID:     c.ID,
		Memory: &lx.CapsHostNUMAMemory{Size: c.Memory, Unit: "KiB"},
		CPUS:   &lx.CapsHostNUMACPUs{Num: uint(len(c.CPUs))},
	}
	for _, p := range c.Pages {
		result.PageInfo = append(result.PageInfo, lx.CapsHostNUMAPageInfo{Size: p.Size, Unit: "KiB", Count: p.Count})
	}
	if len(c.Distances) > 0 {
		result.Distances = &lx.CapsHostNUMADistances{}
	}
	for _, d := range c.Distances {
		result.Distances.Siblings = append(result.Distances.Siblings, lx.CapsHostNUMASibling{ID: d.ID, Value: d.Value})
	}
	for _, cpu := range c.CPUs {
		result.CPUS.CPUs = append(result.CPUS.CPUs, lx.CapsHostNUMACPU{
			ID: cpu.ID, SocketID: &cpu.Socket, DieID: &cpu.Die, CoreID: &cpu.Core, Siblings: cpu.Siblings,
		})
	}
	return result
}

// secModels names libvirt's model for guests that run as another user.
func secModels(label string) []lx.CapsHostSecModel {
	if label == "" {
		return nil
	}
	return []lx.CapsHostSecModel{{
		Name: "dac", DOI: "0", Labels: []lx.CapsHostSecModelLabel{{Type: "uml", Value: label}},
	}}
}

// wordSizes are the architectures that a kernel can be of, by host.
var wordSizes = map[string]int{"x86_64": 64, "i686": 32}

func guests(host Host) []lx.CapsGuest {
	bits, known := wordSizes[host.Arch]
	if !known {
		return nil
	}
	return []lx.CapsGuest{{
		OSType: "uml",
		Arch: lx.CapsGuestArch{
			Name: host.Arch, WordSize: strconv.Itoa(bits), Emulator: host.Kernel,
			Domains: []lx.CapsGuestDomain{{Type: "uml"}},
		},
	}}
}
