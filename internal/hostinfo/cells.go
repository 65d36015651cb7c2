package hostinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Cell is one NUMA cell. A host without NUMA is one cell, number 0.
type Cell struct {
	ID        int
	MemoryKiB uint64
	// Distances is how far each cell is, in the order of the cells; empty
	// where the kernel does not tell.
	Distances []int
	CPUs      []CPU
	// Pages are the page sizes, smallest first.
	Pages []Pages
}

// Pages is a pool of memory pages of one size.
type Pages struct {
	SizeKiB uint32
	// Total counts the pages in the pool; of the machine's own page size,
	// those that no pool of larger pages holds.
	Total uint64
}

// Cells reads the host's NUMA cells, in order.
func (h *Host) Cells() ([]Cell, error) {
	cpus, err := h.CPUMap()
	if err != nil {
		return nil, err
	}
	ids, err := h.cellIDs()
	if err != nil {
		return nil, err
	}
	cells := make([]Cell, 0, len(ids))
	for _, id := range ids {
		cell, err := h.cell(id, cpus)
		if err != nil {
			return nil, err
		}
		cells = append(cells, cell)
	}
	return cells, nil
}

// MaxCell is the highest cell's number.
func (h *Host) MaxCell() (int, error) {
	ids, err := h.cellIDs()
	if err != nil {
		return 0, err
	}
	return ids[len(ids)-1], nil
}

// cellIDs lists the cells, never none.
func (h *Host) cellIDs() ([]int, error) {
	ids, err := h.numbered(nodeDir, "node")
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return []int{0}, nil
	}
	return ids, nil
}

// nodes lists the kernel's folders of cells; none without NUMA.
func (h *Host) nodes() ([]string, error) {
	ids, err := h.numbered(nodeDir, "node")
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(ids))
	for i, id := range ids {
		dirs[i] = cellDir(id)
	}
	return dirs, nil
}

func cellDir(id int) string { return fmt.Sprintf("%s/node%d", nodeDir, id) }

func (h *Host) cell(id int, cpus CPUMap) (Cell, error) {
	mem, err := h.Memory(id)
	if err != nil {
		return Cell{}, err
	}
	cell := Cell{ID: id, MemoryKiB: mem.TotalKiB}
	if cell.Pages, err = h.pages(id, mem.TotalKiB); err != nil {
		return Cell{}, err
	}
	if cell.Distances, err = h.distances(id); err != nil {
		return Cell{}, err
	}
	dir := cellDir(id)
	if !h.exists(dir) {
		dir = cpuDir
	}
	ids, err := h.numbered(dir, "cpu")
	if err != nil {
		return Cell{}, err
	}
	for _, n := range ids {
		if !cpus.Online.Has(n) {
			continue
		}
		c, err := h.cpu(n)
		if err != nil {
			return Cell{}, err
		}
		cell.CPUs = append(cell.CPUs, c)
	}
	return cell, nil
}

// distances reads a cell's row of the distance table.
func (h *Host) distances(id int) ([]int, error) {
	text, err := h.read(cellDir(id) + "/distance")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var row []int
	for field := range strings.FieldsSeq(text) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("/%s/distance holds %q, not a number", cellDir(id), field)
		}
		row = append(row, n)
	}
	return row, nil
}

func (h *Host) exists(name string) bool {
	_, err := fs.Stat(h.files, name)
	return err == nil
}

// numbered lists the numbers N of a folder's entries named prefixN, in
// order. A folder that does not exist has none.
func (h *Host) numbered(dir, prefix string) ([]int, error) {
	entries, err := fs.ReadDir(h.files, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list /%s: %w", dir, cause(err))
	}
	var numbers []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok {
			continue
		}
		if n, err := parseCPU(digits); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
