package hostinfo

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// AllCells stands for the whole host where a cell's number is asked for
// (VIR_NODE_MEMORY_STATS_ALL_CELLS).
const AllCells = -1

// Memory is a host's or a cell's memory.
type Memory struct {
	TotalKiB, FreeKiB uint64
	// BuffersKiB and CachedKiB are known of the whole host only.
	BuffersKiB, CachedKiB uint64
}

// Memory reads the memory of a cell or of AllCells. The error for a cell that
// does not exist has ErrNotFound in its chain.
func (h *Host) Memory(cell int) (Memory, error) {
	const whole = "proc/meminfo"
	name := whole
	if cell != AllCells {
		ids, err := h.numbered(nodeDir, "node")
		if err != nil {
			return Memory{}, err
		}
		// Without NUMA, cell 0 is the whole host.
		if len(ids) > 0 || cell != 0 {
			name = cellDir(cell) + "/meminfo"
		}
	}
	text, err := h.read(name)
	if errors.Is(err, fs.ErrNotExist) && name != whole {
		return Memory{}, fmt.Errorf("NUMA cell %d: %w", cell, ErrNotFound)
	}
	if err != nil {
		return Memory{}, err
	}
	m, err := parseMeminfo(text)
	if err != nil {
		return Memory{}, fmt.Errorf("/%s: %w", name, err)
	}
	return m, nil
}

// MemoryOfCells sums the cells' memory. libvirt takes the host's size from it;
// on hosts whose memory grows and shrinks it differs from AllCells'.
func (h *Host) MemoryOfCells() (Memory, error) {
	ids, err := h.cellIDs()
	if err != nil {
		return Memory{}, err
	}
	var sum Memory
	for _, id := range ids {
		m, err := h.Memory(id)
		if err != nil {
			return Memory{}, err
		}
		sum.TotalKiB += m.TotalKiB
		sum.FreeKiB += m.FreeKiB
	}
	return sum, nil
}

// parseMeminfo parses /proc/meminfo ("MemTotal: 8 kB") and a node's meminfo,
// whose lines begin with "Node N " (drivers/base/node.c).
func parseMeminfo(text string) (Memory, error) {
	var m Memory
	wanted := map[string]*uint64{
		"MemTotal:": &m.TotalKiB, "MemFree:": &m.FreeKiB,
		"Buffers:": &m.BuffersKiB, "Cached:": &m.CachedKiB,
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[0] == "Node" {
			fields = fields[2:]
		}
		if len(fields) < 2 {
			continue
		}
		value, ok := wanted[fields[0]]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("%s is %q, not a number", fields[0], fields[1])
		}
		*value = n
	}
	if m.TotalKiB == 0 {
		return Memory{}, errors.New("there is no MemTotal")
	}
	return m, nil
}

// PageSizeKiB is the machine's own page size.
func PageSizeKiB() uint32 { return uint32(os.Getpagesize() / 1024) }

// FreePages counts the free pages of a size in a cell or in AllCells. The
// error for a size that the kernel has no pool of, or a cell that does not
// exist, has ErrNotFound in its chain.
func (h *Host) FreePages(cell int, sizeKiB uint32) (uint64, error) {
	if sizeKiB == PageSizeKiB() {
		m, err := h.Memory(cell)
		if cell == AllCells {
			m, err = h.MemoryOfCells()
		}
		return m.FreeKiB / uint64(sizeKiB), err
	}
	name := fmt.Sprintf("%s/hugepages-%dkB/free_hugepages", h.poolDir(cell), sizeKiB)
	n, err := h.readUint(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("pages of %d KiB in cell %d: %w", sizeKiB, cell, ErrNotFound)
	}
	return n, err
}

// pages lists a cell's page sizes: the machine's own, then the larger ones.
func (h *Host) pages(cell int, memoryKiB uint64) ([]Pages, error) {
	dir := h.poolDir(cell)
	entries, err := fs.ReadDir(h.files, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list /%s: %w", dir, cause(err))
	}
	own := Pages{SizeKiB: PageSizeKiB()}
	pools := []Pages{own}
	left := memoryKiB
	for _, e := range entries {
		var p Pages
		if _, err := fmt.Sscanf(e.Name(), "hugepages-%dkB", &p.SizeKiB); err != nil {
			continue
		}
		if p.Total, err = h.readUint(dir + "/" + e.Name() + "/nr_hugepages"); err != nil {
			return nil, err
		}
		left -= min(left, p.Total*uint64(p.SizeKiB))
		pools = append(pools, p)
	}
	pools[0].Total = left / uint64(own.SizeKiB)
	slices.SortFunc(pools, func(a, b Pages) int { return cmp.Compare(a.SizeKiB, b.SizeKiB) })
	return pools, nil
}

// poolDir is the folder of a cell's pools of large pages.
func (h *Host) poolDir(cell int) string {
	if cell == AllCells || !h.exists(cellDir(cell)) && cell == 0 {
		return "sys/kernel/mm/hugepages"
	}
	return cellDir(cell) + "/hugepages"
}
