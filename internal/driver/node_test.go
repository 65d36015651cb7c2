package driver

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/rogpeppe/go-internal/txtar"

	"virtumld/internal/hostinfo"
	"virtumld/internal/paths"
	"virtumld/internal/virerr"
)

// nodeConn is a connection to a daemon on the host that
// hostinfo/testdata/NAME.txtar describes. No call here needs a domain.
func nodeConn(t *testing.T, name string, kernel func(context.Context, string) (Kernel, error)) *Conn {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("../hostinfo/testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, f := range archive.Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	host := HostView{Info: hostinfo.New(files, "x86_64", hostinfo.Options{}), Kernel: kernel}
	d := New(nil, nil, nil, nil, host, paths.Paths{System: true}, slog.New(slog.DiscardHandler))
	return d.NewConn(Peer{}, false, nil)
}

func TestNodeGetInfo(t *testing.T) {
	got, err := nodeConn(t, "numa", nil).NodeGetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := &libvirt.NodeGetInfoRet{Memory: 16384000, Cpus: 7, Mhz: 1206, Nodes: 2, Sockets: 1, Cores: 2, Threads: 2}
	copy(want.Model[:], []int8{'x', '8', '6', '_', '6', '4'})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("NodeGetInfo = %+v, want %+v", got, want)
	}
}

func TestNodeGetCPUMap(t *testing.T) {
	c := nodeConn(t, "container", nil)
	for _, tt := range []struct {
		args libvirt.NodeGetCPUMapArgs
		want libvirt.NodeGetCPUMapRet
	}{
		{libvirt.NodeGetCPUMapArgs{NeedMap: 1, NeedOnline: 1}, libvirt.NodeGetCPUMapRet{Cpumap: []byte{0b1011}, Online: 3, Ret: 4}},
		{libvirt.NodeGetCPUMapArgs{}, libvirt.NodeGetCPUMapRet{Ret: 4}},
	} {
		got, err := c.NodeGetCPUMap(t.Context(), &tt.args)
		if err != nil || !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("NodeGetCPUMap(%+v) = %+v, %v, want %+v", tt.args, got, err, tt.want)
		}
	}
}

func TestNodeGetCPUStats(t *testing.T) {
	c := nodeConn(t, "numa", nil)
	probe, err := c.NodeGetCPUStats(t.Context(), &libvirt.NodeGetCPUStatsArgs{CPUNum: -1})
	if err != nil || len(probe.Params) != 0 || probe.Nparams != 4 {
		t.Fatalf("the size is %+v, %v", probe, err)
	}
	got, err := c.NodeGetCPUStats(t.Context(), &libvirt.NodeGetCPUStatsArgs{CPUNum: 1, Nparams: probe.Nparams})
	if err != nil || got.Nparams != 4 {
		t.Fatalf("NodeGetCPUStats = %+v, %v", got, err)
	}
	stats := map[string]uint64{}
	for _, p := range got.Params {
		stats[p.Field] = p.Value
	}
	want := map[string]uint64{"kernel": 270_000_000, "user": 500_000_000, "idle": 20_000_000_000, "iowait": 300_000_000}
	if !maps.Equal(stats, want) {
		t.Errorf("NodeGetCPUStats = %v, want %v", stats, want)
	}
}

func TestNodeGetMemoryStats(t *testing.T) {
	c := nodeConn(t, "numa", nil)
	for _, tt := range []struct {
		cell int32
		want map[string]uint64
	}{
		{-1, map[string]uint64{"total": 16384000, "free": 8000000, "buffers": 2000, "cached": 30000}},
		{1, map[string]uint64{"total": 8192000, "free": 4000001}},
	} {
		probe, err := c.NodeGetMemoryStats(t.Context(), &libvirt.NodeGetMemoryStatsArgs{CellNum: tt.cell})
		if err != nil || len(probe.Params) != 0 || int(probe.Nparams) != len(tt.want) {
			t.Fatalf("cell %d: the size is %+v, %v", tt.cell, probe, err)
		}
		got, err := c.NodeGetMemoryStats(t.Context(), &libvirt.NodeGetMemoryStatsArgs{CellNum: tt.cell, Nparams: probe.Nparams})
		if err != nil {
			t.Fatal(err)
		}
		stats := map[string]uint64{}
		for _, p := range got.Params {
			stats[p.Field] = p.Value
		}
		if !maps.Equal(stats, tt.want) {
			t.Errorf("cell %d: %v, want %v", tt.cell, stats, tt.want)
		}
	}
}

func TestNodeFreeMemoryAndPages(t *testing.T) {
	c := nodeConn(t, "numa", nil)
	free, err := c.NodeGetFreeMemory(t.Context())
	if err != nil || free.FreeMem != 8000001*1024 {
		t.Errorf("NodeGetFreeMemory = %+v, %v", free, err)
	}
	cells, err := c.NodeGetCellsFreeMemory(t.Context(), &libvirt.NodeGetCellsFreeMemoryArgs{StartCell: 0, Maxcells: 1024})
	if want := []uint64{4000000 * 1024, 4000001 * 1024}; err != nil || !reflect.DeepEqual(cells.Cells, want) {
		t.Errorf("NodeGetCellsFreeMemory = %+v, %v, want %v", cells, err, want)
	}
	pages, err := c.NodeGetFreePages(t.Context(), &libvirt.NodeGetFreePagesArgs{Pages: []uint32{2048}, StartCell: -1, CellCount: 3})
	if want := []uint64{40, 0, 40}; err != nil || !reflect.DeepEqual(pages.Counts, want) {
		t.Errorf("NodeGetFreePages = %+v, %v, want %v", pages, err, want)
	}
}

// TestNodeRefusals: each call checks its arguments with libvirt's codes.
func TestNodeRefusals(t *testing.T) {
	c, ctx := nodeConn(t, "numa", nil), t.Context()
	for _, tt := range []struct {
		name string
		call func() error
		code libvirt.ErrorNumber
		text string
	}{
		{"map flags", func() error {
			_, err := c.NodeGetCPUMap(ctx, &libvirt.NodeGetCPUMapArgs{Flags: 2})
			return err
		}, libvirt.ErrInvalidArg, "invalid argument: unsupported flags (0x2) in function virNodeGetCPUMap"},
		{"cpu flags", func() error {
			_, err := c.NodeGetCPUStats(ctx, &libvirt.NodeGetCPUStatsArgs{Flags: 1})
			return err
		}, libvirt.ErrInvalidArg, "unsupported flags (0x1) in function virNodeGetCPUStats"},
		{"cpu number", func() error {
			_, err := c.NodeGetCPUStats(ctx, &libvirt.NodeGetCPUStatsArgs{CPUNum: -2})
			return err
		}, libvirt.ErrInvalidArg, "cpuNum in virNodeGetCPUStats only accepts -1"},
		{"cpu missing", func() error {
			_, err := c.NodeGetCPUStats(ctx, &libvirt.NodeGetCPUStatsArgs{CPUNum: 7, Nparams: 4})
			return err
		}, libvirt.ErrInvalidArg, "no processor 7 is online"},
		{"cpu nparams", func() error {
			_, err := c.NodeGetCPUStats(ctx, &libvirt.NodeGetCPUStatsArgs{Nparams: 3})
			return err
		}, libvirt.ErrInvalidArg, "nparams in virNodeGetCPUStats must be equal to 4"},
		{"memory cell", func() error {
			_, err := c.NodeGetMemoryStats(ctx, &libvirt.NodeGetMemoryStatsArgs{CellNum: 2})
			return err
		}, libvirt.ErrInvalidArg, "this host has no cell 2"},
		{"memory nparams", func() error {
			_, err := c.NodeGetMemoryStats(ctx, &libvirt.NodeGetMemoryStatsArgs{Nparams: 4})
			return err
		}, libvirt.ErrInvalidArg, "nparams in virNodeGetMemoryStats must be equal to 2"},
		{"cells count", func() error {
			_, err := c.NodeGetCellsFreeMemory(ctx, &libvirt.NodeGetCellsFreeMemoryArgs{})
			return err
		}, libvirt.ErrInvalidArg, "maxCells in virNodeGetCellsFreeMemory must be greater than zero"},
		{"cells start", func() error {
			_, err := c.NodeGetCellsFreeMemory(ctx, &libvirt.NodeGetCellsFreeMemoryArgs{StartCell: 2, Maxcells: 1})
			return err
		}, libvirt.ErrInternalError, "start cell 2 out of range (0-1)"},
		{"pages none", func() error {
			_, err := c.NodeGetFreePages(ctx, &libvirt.NodeGetFreePagesArgs{CellCount: 1})
			return err
		}, libvirt.ErrInvalidArg, "npages in virNodeGetFreePages must not be zero"},
		{"pages size", func() error {
			_, err := c.NodeGetFreePages(ctx, &libvirt.NodeGetFreePagesArgs{Pages: []uint32{3}, CellCount: 1})
			return err
		}, libvirt.ErrOperationFailed, "page size 3 is not available on node 0"},
		{"pages many", func() error {
			_, err := c.NodeGetFreePages(ctx, &libvirt.NodeGetFreePagesArgs{Pages: []uint32{4}, CellCount: 1<<32 - 1})
			return err
		}, libvirt.ErrInternalError, "at most 1024 numbers"},
		{"type", func() error {
			_, err := c.ConnectGetMaxVcpus(ctx, &libvirt.ConnectGetMaxVcpusArgs{Type: libvirt.OptString{"kvm"}})
			return err
		}, libvirt.ErrInvalidArg, "unknown type 'kvm'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call()
			if !virerr.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want code %d with %q", err, tt.code, tt.text)
			}
		})
	}
}

func TestConnectFacts(t *testing.T) {
	kernel := func(context.Context, string) (Kernel, error) {
		return Kernel{Major: 6, Minor: 12, Patch: 1234, MaxVCPUs: 8}, nil
	}
	c, ctx := nodeConn(t, "numa", kernel), t.Context()
	if v, err := c.ConnectGetVersion(ctx); err != nil || v.HvVer != 6012999 {
		t.Errorf("ConnectGetVersion = %+v, %v", v, err)
	}
	for _, virtType := range []libvirt.OptString{nil, {"uml"}, {"UML"}} {
		if m, err := c.ConnectGetMaxVcpus(ctx, &libvirt.ConnectGetMaxVcpusArgs{Type: virtType}); err != nil || m.MaxVcpus != 8 {
			t.Errorf("ConnectGetMaxVcpus(%q) = %+v, %v", virtType, m, err)
		}
	}
	if h, err := c.ConnectGetHostname(ctx); err != nil || h.Hostname != "node7.example.org" {
		t.Errorf("ConnectGetHostname = %+v, %v", h, err)
	}
	if u, err := c.ConnectGetURI(ctx); err != nil || u.Uri != "uml:///system" {
		t.Errorf("ConnectGetURI = %+v, %v", u, err)
	}
}

func TestVersionWithoutKernel(t *testing.T) {
	missing := func(context.Context, string) (Kernel, error) { return Kernel{}, errors.New("no such kernel") }
	c := nodeConn(t, "numa", missing)
	if v, err := c.ConnectGetVersion(t.Context()); err != nil || v.HvVer != 0 {
		t.Errorf("ConnectGetVersion = %+v, %v, want libvirt's 0 for unknown", v, err)
	}
	if _, err := c.ConnectGetMaxVcpus(t.Context(), &libvirt.ConnectGetMaxVcpusArgs{}); !virerr.Is(err, libvirt.ErrOperationFailed) {
		t.Errorf("ConnectGetMaxVcpus = %v", err)
	}
}
