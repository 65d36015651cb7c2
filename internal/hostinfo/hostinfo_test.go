package hostinfo

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/txtar"
)

// tree is a host made of testdata/NAME.txtar.
func tree(t *testing.T, name, machine string, opts Options) *Host {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, f := range archive.Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return New(files, machine, opts)
}

func TestNodeInfo(t *testing.T) {
	for _, tt := range []struct {
		tree, machine string
		want          NodeInfo
	}{
		{"numa", "x86_64", NodeInfo{Arch: "x86_64", MemoryKiB: 16384000, CPUs: 7, MHz: 1206,
			Nodes: 2, Sockets: 1, Cores: 2, Threads: 2}},
		{"container", "i586", NodeInfo{Arch: "i686", MemoryKiB: 4096000, CPUs: 3, MHz: 1203,
			Nodes: 1, Sockets: 1, Cores: 4, Threads: 1}},
		{"uneven", "aarch64", NodeInfo{Arch: "aarch64", MemoryKiB: 2048000, CPUs: 3,
			Nodes: 1, Sockets: 1, Cores: 3, Threads: 1}},
	} {
		t.Run(tt.tree, func(t *testing.T) {
			got, err := tree(t, tt.tree, tt.machine, Options{}).NodeInfo()
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("NodeInfo() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestCPUMap(t *testing.T) {
	m, err := tree(t, "container", "x86_64", Options{}).CPUMap()
	if err != nil {
		t.Fatal(err)
	}
	if m.Present.String() != "0-3" || m.Online.String() != "0-1,3" {
		t.Errorf("CPUMap() = %s present, %s online", m.Present, m.Online)
	}
}

func TestCPUTimes(t *testing.T) {
	h := tree(t, "numa", "x86_64", Options{})
	for cpu, want := range map[int]CPUTimes{
		AllCPUs: {Kernel: 43 * tick, User: 120 * tick, Idle: 4000 * tick, IOWait: 50 * tick},
		1:       {Kernel: 27 * tick, User: 50 * tick, Idle: 2000 * tick, IOWait: 30 * tick},
		10:      {Kernel: 1 * tick, User: 2 * tick, Idle: 1 * tick},
	} {
		got, err := h.CPUTimes(cpu)
		if err != nil || got != want {
			t.Errorf("CPUTimes(%d) = %+v, %v, want %+v", cpu, got, err, want)
		}
	}
	if _, err := h.CPUTimes(2); !errors.Is(err, ErrNotFound) {
		t.Errorf("CPUTimes(2) = %v, want ErrNotFound", err)
	}
}

func TestMemory(t *testing.T) {
	numa := tree(t, "numa", "x86_64", Options{})
	whole := Memory{TotalKiB: 4096000, FreeKiB: 1000000, BuffersKiB: 2000, CachedKiB: 30000}
	for _, tt := range []struct {
		host *Host
		cell int
		want Memory
	}{
		{numa, AllCells, Memory{TotalKiB: 16384000, FreeKiB: 8000000, BuffersKiB: 2000, CachedKiB: 30000}},
		{numa, 1, Memory{TotalKiB: 8192000, FreeKiB: 4000001}},
		{tree(t, "container", "x86_64", Options{}), 0, whole},
	} {
		got, err := tt.host.Memory(tt.cell)
		if err != nil || got != tt.want {
			t.Errorf("Memory(%d) = %+v, %v, want %+v", tt.cell, got, err, tt.want)
		}
	}
	if sum, err := numa.MemoryOfCells(); err != nil || sum != (Memory{TotalKiB: 16384000, FreeKiB: 8000001}) {
		t.Errorf("MemoryOfCells() = %+v, %v", sum, err)
	}
	if _, err := numa.Memory(2); !errors.Is(err, ErrNotFound) {
		t.Errorf("Memory(2) = %v, want ErrNotFound", err)
	}
}

func TestFreePages(t *testing.T) {
	numa := tree(t, "numa", "x86_64", Options{})
	for _, tt := range []struct {
		cell    int
		sizeKiB uint32
		want    uint64
	}{
		{AllCells, 2048, 40}, {0, 2048, 0}, {1, 2048, 40},
		{1, PageSizeKiB(), 4000001 / uint64(PageSizeKiB())},
		{AllCells, PageSizeKiB(), 8000001 / uint64(PageSizeKiB())},
	} {
		got, err := numa.FreePages(tt.cell, tt.sizeKiB)
		if err != nil || got != tt.want {
			t.Errorf("FreePages(%d, %d) = %d, %v, want %d", tt.cell, tt.sizeKiB, got, err, tt.want)
		}
	}
	for _, size := range []uint32{0, 3, 1 << 20} {
		if _, err := numa.FreePages(0, size); !errors.Is(err, ErrNotFound) {
			t.Errorf("FreePages(0, %d) = %v, want ErrNotFound", size, err)
		}
	}
}

func TestCells(t *testing.T) {
	cells, err := tree(t, "numa", "x86_64", Options{}).Cells()
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) != 2 {
		t.Fatalf("%d cells, want 2", len(cells))
	}
	one := cells[1]
	if len(one.CPUs) != 3 || one.MemoryKiB != 8192000 || !reflect.DeepEqual(one.Distances, []int{21, 10}) {
		t.Errorf("cell 1 is %+v", one)
	}
	if want := (CPU{ID: 5, Socket: 1, Siblings: CPUSet{1, 5}}); !reflect.DeepEqual(one.CPUs[2], want) {
		t.Errorf("last processor of cell 1 is %+v, want %+v", one.CPUs[2], want)
	}
	// The pool of large pages cuts the rest off.
	want := []Pages{{PageSizeKiB(), (8192000 - 100*2048) / uint64(PageSizeKiB())}, {2048, 100}}
	if !reflect.DeepEqual(one.Pages, want) {
		t.Errorf("pages of cell 1 are %+v, want %+v", one.Pages, want)
	}
	if cells, err = tree(t, "container", "x86_64", Options{}).Cells(); err != nil || len(cells) != 1 || len(cells[0].CPUs) != 3 {
		t.Errorf("Cells() without NUMA = %+v, %v", cells, err)
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct{ tree, name, id string }{
		{"numa", "node7.example.org", "4c4c4544-0031-3510-8058-b4c04f565931"},
		{"container", "box", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"},
		{"uneven", "localhost", ""},
	} {
		h := tree(t, tt.tree, "x86_64", Options{})
		if name, err := h.Hostname(); err != nil || name != tt.name {
			t.Errorf("%s: Hostname() = %q, %v, want %q", tt.tree, name, err, tt.name)
		}
		if id := h.UUID(); id != h.UUID() || tt.id != "" && id.String() != tt.id {
			t.Errorf("%s: UUID() = %s, then %s, want %s", tt.tree, id, h.UUID(), tt.id)
		}
	}
	byMachine := tree(t, "numa", "x86_64", Options{MachineID: true}).UUID()
	if byMachine.String() != "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4" {
		t.Errorf("UUID() by machine id = %s", byMachine)
	}
	chosen := uuid.New()
	if got := tree(t, "numa", "x86_64", Options{UUID: chosen}).UUID(); got != chosen {
		t.Errorf("UUID() = %s, want the configured %s", got, chosen)
	}
}

func TestCanonicalName(t *testing.T) {
	for _, tt := range []struct{ hosts, want string }{
		{"", "web"},
		{"127.0.0.1 localhost web", "web"},
		{"10.0.0.1 web.example.org web", "web.example.org"},
		{"10.0.0.1 WEB.example.org Web", "WEB.example.org"},
		{"10.0.0.1 webster.example.org webster\n10.0.0.2 web", "web"},
	} {
		if got := canonicalName(tt.hosts, "web"); got != tt.want {
			t.Errorf("canonicalName(%q) = %q, want %q", tt.hosts, got, tt.want)
		}
	}
}

func TestCPUModel(t *testing.T) {
	got, err := tree(t, "container", "x86_64", Options{}).CPUModel()
	want := CPUModel{Vendor: "AMD", Name: "AMD EPYC 7763 64-Core Processor", Flags: []string{"fpu", "vme", "lahf_lm"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("CPUModel() = %+v, %v, want %+v", got, err, want)
	}
}

func TestEmptyTreeFails(t *testing.T) {
	h := New(fstest.MapFS{}, "x86_64", Options{})
	_, errInfo := h.NodeInfo()
	_, errCells := h.Cells()
	_, errName := h.Hostname()
	for _, err := range []error{errInfo, errCells, errName} {
		if err == nil || !strings.Contains(err.Error(), "cannot read /") {
			t.Errorf("error %v does not name the missing file", err)
		}
	}
}

func TestLocal(t *testing.T) {
	h, err := Local(Options{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := h.NodeInfo()
	if err != nil {
		t.Fatal(err)
	}
	if info.CPUs < 1 || info.Nodes*info.Sockets*info.Cores*info.Threads < info.CPUs || info.MemoryKiB == 0 {
		t.Errorf("NodeInfo() = %+v", info)
	}
	times, err := h.CPUTimes(AllCPUs)
	if err != nil || times.User == 0 || times.Idle == 0 {
		t.Errorf("CPUTimes() = %+v, %v", times, err)
	}
	cells, err := h.Cells()
	if err != nil || len(cells) == 0 || len(cells[0].CPUs) == 0 {
		t.Errorf("Cells() = %+v, %v", cells, err)
	}
	short, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if name, err := h.Hostname(); err != nil || !strings.HasPrefix(name, short) {
		t.Errorf("Hostname() = %q, %v, want it to begin with %q", name, err, short)
	}
}

func TestCPUSet(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{"", ""}, {"0", "0"}, {"0-3\n", "0-3"}, {"8,0-2,2-4", "0-4,8"}, {"0,2,4", "0,2,4"},
	} {
		set, err := ParseCPUSet(tt.in)
		if err != nil || set.String() != tt.out {
			t.Errorf("ParseCPUSet(%q) = %s, %v, want %s", tt.in, set, err, tt.out)
		}
	}
	for _, bad := range []string{"x", "3-1", "-1", "0-", "0-99999999", "1;2"} {
		if set, err := ParseCPUSet(bad); err == nil {
			t.Errorf("ParseCPUSet(%q) = %s, want an error", bad, set)
		}
	}
	if got := (CPUSet{0, 1, 9, 30}).Bitmap(17); !reflect.DeepEqual(got, []byte{3, 2, 0}) {
		t.Errorf("Bitmap(17) = %v", got)
	}
}

func FuzzParseCPUSet(f *testing.F) {
	for _, seed := range []string{"0-3,8", "", "65535", "1-1,0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseCPUSet(text)
		if err != nil {
			return
		}
		again, err := ParseCPUSet(set.String())
		if err != nil || !reflect.DeepEqual(again, set) {
			t.Errorf("%q parses to %s, that to %s, %v", text, set, again, err)
		}
	})
}

func FuzzMeminfo(f *testing.F) {
	f.Add("MemTotal: 10 kB\nMemFree: 5 kB\n")
	f.Add("Node 0 MemTotal: 10 kB\nNode 0 MemFree:\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseMeminfo(text); err == nil && m.TotalKiB == 0 {
			t.Errorf("%q has no total and no error", text)
		}
	})
}

func FuzzTimes(f *testing.F) {
	f.Add("1 2 3 4 5 6 7 8")
	f.Add("1 2 3")
	f.Fuzz(func(t *testing.T, line string) {
		if _, err := parseTimes(strings.Fields(line)); err == nil && len(strings.Fields(line)) < 4 {
			t.Errorf("%q has fewer than four columns and no error", line)
		}
	})
}
