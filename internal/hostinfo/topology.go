package hostinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

const (
	cpuDir  = "sys/devices/system/cpu"
	nodeDir = "sys/devices/system/node"
)

// CPUMap says which processors there are.
type CPUMap struct {
	// Present are those in the machine, Online those in use.
	Present, Online CPUSet
}

// CPUMap reads which processors are present and online.
func (h *Host) CPUMap() (CPUMap, error) {
	var m CPUMap
	for name, set := range map[string]*CPUSet{"present": &m.Present, "online": &m.Online} {
		text, err := h.read(cpuDir + "/" + name)
		if err != nil {
			return CPUMap{}, err
		}
		if *set, err = ParseCPUSet(text); err != nil {
			return CPUMap{}, fmt.Errorf("/%s/%s: %w", cpuDir, name, err)
		}
	}
	return m, nil
}

// CPU is where one processor sits.
type CPU struct {
	ID                int
	Socket, Die, Core int
	Siblings          CPUSet // threads of the same core, this one included
}

// cpu reads a processor's place. Kernels leave files out, or say -1, where a
// level does not exist; that level is then 0, as in libvirt.
func (h *Host) cpu(id int) (CPU, error) {
	dir := fmt.Sprintf("%s/cpu%d/topology", cpuDir, id)
	c := CPU{ID: id, Siblings: CPUSet{id}}
	for name, value := range map[string]*int{
		"physical_package_id": &c.Socket, "die_id": &c.Die, "core_id": &c.Core,
	} {
		text, err := h.read(dir + "/" + name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return CPU{}, err
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return CPU{}, fmt.Errorf("/%s/%s holds %q, not a number", dir, name, text)
		}
		*value = max(n, 0)
	}
	text, err := h.read(dir + "/thread_siblings_list")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return CPU{}, err
	}
	if c.Siblings, err = ParseCPUSet(text); err != nil {
		return CPU{}, fmt.Errorf("/%s/thread_siblings_list: %w", dir, err)
	}
	return c, nil
}

// NodeInfo is libvirt's virNodeInfo.
type NodeInfo struct {
	Arch      string
	MemoryKiB uint64
	// CPUs is how many processors are online; MHz is 0 where the kernel
	// does not tell.
	CPUs, MHz int
	// Nodes is the number of NUMA cells; Sockets are per cell, Cores per
	// socket, Threads per core. Their product is the number of processors,
	// online or not.
	Nodes, Sockets, Cores, Threads int
}

// NodeInfo reads the machine's size and shape.
func (h *Host) NodeInfo() (NodeInfo, error) {
	info := NodeInfo{Arch: h.arch, MHz: h.mhz()}
	mem, err := h.MemoryOfCells()
	if err != nil {
		return NodeInfo{}, err
	}
	info.MemoryKiB = mem.TotalKiB
	cpus, err := h.CPUMap()
	if err != nil {
		return NodeInfo{}, err
	}
	nodes, err := h.nodes()
	if err != nil {
		return NodeInfo{}, err
	}
	var all shape
	for _, dir := range nodes {
		s, err := h.shape(dir, cpus)
		if err != nil {
			return NodeInfo{}, err
		}
		all.add(s)
	}
	info.Nodes = len(nodes)
	if all.online == 0 {
		if all, err = h.shape(cpuDir, cpus); err != nil {
			return NodeInfo{}, err
		}
		info.Nodes = 1
	}
	if all.online == 0 {
		return NodeInfo{}, errors.New("no processor is online in /" + cpuDir)
	}
	info.CPUs, info.Sockets, info.Cores, info.Threads = all.online, all.sockets, all.cores, all.threads
	// Clients multiply the four numbers to learn how many processors there
	// are. Where the true shape is uneven, libvirt reports a flat one.
	if total := all.online + all.offline; info.Nodes*info.Sockets*info.Cores*info.Threads != total {
		info.Nodes, info.Sockets, info.Cores, info.Threads = 1, 1, total, 1
	}
	return info, nil
}

// shape counts the processors of one cell, or of the whole machine.
type shape struct {
	online, offline         int
	sockets, cores, threads int
}

// add counts another cell in: processors add up, the rest is the widest.
func (s *shape) add(cell shape) {
	s.online += cell.online
	s.offline += cell.offline
	s.sockets = max(s.sockets, cell.sockets)
	s.cores = max(s.cores, cell.cores)
	s.threads = max(s.threads, cell.threads)
}

// shape counts the processors that have an entry cpuN in dir.
func (h *Host) shape(dir string, cpus CPUMap) (shape, error) {
	ids, err := h.numbered(dir, "cpu")
	if err != nil {
		return shape{}, err
	}
	var s shape
	cores := map[int]map[int]bool{}
	for _, id := range ids {
		if !cpus.Present.Has(id) {
			continue
		}
		if !cpus.Online.Has(id) {
			s.offline++
			continue
		}
		s.online++
		c, err := h.cpu(id)
		if err != nil {
			return shape{}, err
		}
		if cores[c.Socket] == nil {
			cores[c.Socket] = map[int]bool{}
		}
		cores[c.Socket][c.Core] = true
		s.threads = max(s.threads, len(c.Siblings))
	}
	s.sockets = len(cores)
	for _, socket := range cores {
		s.cores = max(s.cores, len(socket))
	}
	return s, nil
}
