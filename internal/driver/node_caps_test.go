package driver

import (
	"context"
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// twoKernels is a host with a default kernel and another one.
func twoKernels(_ context.Context, path string) (Kernel, error) {
	switch path {
	case "":
		return Kernel{Path: "/usr/bin/linux.uml", Major: 6, Minor: 1, MaxVCPUs: 1}, nil
	case "/opt/smp":
		return Kernel{Path: path, Major: 7, MaxVCPUs: 16}, nil
	default:
		return Kernel{}, virerr.New(libvirt.ErrSystemError, "cannot open %s", path)
	}
}

func TestCapabilities(t *testing.T) {
	got, err := nodeConn(t, "numa", twoKernels).ConnectGetCapabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(got.Capabilities); err != nil {
		t.Fatal(err)
	}
	if caps.Host.UUID != "4c4c4544-0031-3510-8058-b4c04f565931" || caps.Host.CPU.Arch != "x86_64" {
		t.Errorf("the host is %s, %s", caps.Host.UUID, caps.Host.CPU.Arch)
	}
	if top := caps.Host.CPU.Topology; top.Sockets != 1 || top.Cores != 2 || top.Threads != 2 {
		t.Errorf("the topology is %+v", top)
	}
	cell := caps.Host.NUMA.Cells.Cells[1]
	if cell.Memory.Size != 8192000 || len(cell.CPUS.CPUs) != 3 || cell.CPUS.CPUs[2].Siblings != "1,5" {
		t.Errorf("cell 1 is %+v", cell)
	}
	if want := []libvirtxml.CapsHostNUMASibling{{ID: 0, Value: 21}, {ID: 1, Value: 10}}; !reflect.DeepEqual(cell.Distances.Siblings, want) {
		t.Errorf("cell 1 has distances %+v", cell.Distances.Siblings)
	}
	if len(caps.Guests) != 1 || caps.Guests[0].OSType != "uml" || caps.Guests[0].Arch.Emulator != "/usr/bin/linux.uml" {
		t.Errorf("the guests are %+v", caps.Guests)
	}
}

func TestCapabilitiesWithoutKernel(t *testing.T) {
	none := func(context.Context, string) (Kernel, error) {
		return Kernel{}, virerr.New(libvirt.ErrNoKernel, "none")
	}
	c := nodeConn(t, "container", none)
	got, err := c.ConnectGetCapabilities(t.Context())
	if err != nil || strings.Contains(got.Capabilities, "<guest>") {
		t.Errorf("ConnectGetCapabilities = %+v, %v, want no guest", got, err)
	}
	_, err = c.ConnectGetDomainCapabilities(t.Context(), &libvirt.ConnectGetDomainCapabilitiesArgs{})
	if !virerr.Is(err, libvirt.ErrConfigUnsupported) {
		t.Errorf("ConnectGetDomainCapabilities = %v", err)
	}
}

func TestDomainCapabilities(t *testing.T) {
	c := nodeConn(t, "numa", twoKernels)
	for _, tt := range []struct {
		args libvirt.ConnectGetDomainCapabilitiesArgs
		path string
		max  uint
	}{
		{libvirt.ConnectGetDomainCapabilitiesArgs{}, "/usr/bin/linux.uml", 1},
		{libvirt.ConnectGetDomainCapabilitiesArgs{
			Emulatorbin: libvirt.OptString{"/opt/smp"}, Arch: libvirt.OptString{"x86_64"}, Virttype: libvirt.OptString{"uml"},
		}, "/opt/smp", 16},
	} {
		got, err := c.ConnectGetDomainCapabilities(t.Context(), &tt.args)
		if err != nil {
			t.Fatal(err)
		}
		var caps libvirtxml.DomainCaps
		if err := caps.Unmarshal(got.Capabilities); err != nil {
			t.Fatal(err)
		}
		if caps.Path != tt.path || caps.Domain != "uml" || caps.VCPU.Max != tt.max {
			t.Errorf("%+v: %s, %s, %d", tt.args, caps.Path, caps.Domain, caps.VCPU.Max)
		}
	}
	for _, tt := range []struct {
		args libvirt.ConnectGetDomainCapabilitiesArgs
		code libvirt.ErrorNumber
	}{
		{libvirt.ConnectGetDomainCapabilitiesArgs{Flags: 1}, libvirt.ErrInvalidArg},
		{libvirt.ConnectGetDomainCapabilitiesArgs{Virttype: libvirt.OptString{"kvm"}}, libvirt.ErrInvalidArg},
		{libvirt.ConnectGetDomainCapabilitiesArgs{Arch: libvirt.OptString{"riscv64"}}, libvirt.ErrInvalidArg},
		{libvirt.ConnectGetDomainCapabilitiesArgs{Emulatorbin: libvirt.OptString{"/none"}}, libvirt.ErrSystemError},
	} {
		if _, err := c.ConnectGetDomainCapabilities(t.Context(), &tt.args); !virerr.Is(err, tt.code) {
			t.Errorf("%+v: %v, want code %d", tt.args, err, tt.code)
		}
	}
}
