package capxml

import (
	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// Query is what a client asks domain capabilities for; "" stands for the
// default.
type Query struct {
	Emulator, Arch, Machine, VirtType string
}

// Target is a kernel that domains can be run with.
type Target struct {
	// Kernel is its path, Arch its architecture.
	Kernel, Arch string
	// MaxVCPUs is how many virtual CPUs it can have.
	MaxVCPUs uint
}

// Lookup returns what q asks for. With an emulator that is not the host's
// default, the caller sets MaxVCPUs from that kernel. What no UML guest can be
// is ErrInvalidArg.
func Lookup(host Host, q Query) (Target, error) {
	switch {
	case q.VirtType != "" && q.VirtType != "uml":
		return Target{}, invalidArgument("virttype '%s' is not supported, only 'uml' is", q.VirtType)
	case q.Arch != "" && q.Arch != host.Arch:
		return Target{}, invalidArgument("architecture '%s' is not supported on this host, only '%s' is", q.Arch, host.Arch)
	case q.Machine != "":
		return Target{}, invalidArgument("the machine '%s' is not supported, User Mode Linux has no machine types", q.Machine)
	case q.Emulator != "" && q.Emulator[0] != '/':
		return Target{}, invalidArgument("emulator '%s' is not an absolute path", q.Emulator)
	}
	target := Target{Kernel: host.Kernel, Arch: host.Arch, MaxVCPUs: host.MaxVCPUs}
	if q.Emulator != "" {
		target.Kernel = q.Emulator
	}
	if target.Kernel == "" {
		return Target{}, virerr.In(virerr.UML, libvirt.ErrConfigUnsupported,
			"unable to find any User Mode Linux kernel, install one or name it as emulator")
	}
	return target, nil
}

func invalidArgument(format string, args ...any) error {
	return virerr.In(virerr.UML, libvirt.ErrInvalidArg, format, args...)
}

// DomainCapabilities returns the domain capabilities document of target
// (libvirt's docs/formatdomaincaps). It offers what package domxml carries
// out, not what it merely tolerates.
func DomainCapabilities(target Target) (string, error) {
	return virxml.Marshal(&lx.DomainCaps{
		Path:      target.Kernel,
		Domain:    "uml",
		Arch:      target.Arch,
		VCPU:      &lx.DomainCapsVCPU{Max: target.MaxVCPUs},
		IOThreads: &lx.DomainCapsIOThreads{Supported: "no"},
		OS:        &lx.DomainCapsOS{Supported: "yes", Loader: &lx.DomainCapsOSLoader{Supported: "no"}},
		CPU: &lx.DomainCapsCPU{Modes: []lx.DomainCapsCPUMode{
			{Name: "host-passthrough", Supported: "yes"},
			{Name: "maximum", Supported: "no"},
			{Name: "host-model", Supported: "no"},
			{Name: "custom", Supported: "no"},
		}},
		MemoryBacking: &lx.DomainCapsMemoryBacking{Supported: "no"},
		Devices:       devices(),
		Features: &lx.DomainCapsFeatures{
			GIC:               &lx.DomainCapsFeatureGIC{Supported: "no"},
			VMCoreInfo:        &lx.DomainCapsFeatureVMCoreInfo{Supported: "no"},
			GenID:             &lx.DomainCapsFeatureGenID{Supported: "no"},
			BackingStoreInput: &lx.DomainCapsFeatureBackingStoreInput{Supported: "yes"},
			Backup:            &lx.DomainCapsFeatureBackup{Supported: "no"},
		},
	}, "")
}

func devices() *lx.DomainCapsDevices {
	none := &lx.DomainCapsDevice{Supported: "no"}
	return &lx.DomainCapsDevices{
		Disk: offered(
			lx.DomainCapsEnum{Name: "diskDevice", Values: []string{"disk"}},
			lx.DomainCapsEnum{Name: "bus", Values: []string{"uml"}}),
		Graphics:   none,
		Video:      none,
		HostDev:    none,
		RNG:        none,
		FileSystem: offered(lx.DomainCapsEnum{Name: "driverType", Values: []string{"path"}}),
		TPM:        none,
		Redirdev:   none,
		Channel:    none,
		Console: offered(lx.DomainCapsEnum{
			Name: "type", Values: []string{"null", "pty", "dev", "file", "stdio", "tcp", "unix"},
		}),
	}
}

func offered(enums ...lx.DomainCapsEnum) *lx.DomainCapsDevice {
	return &lx.DomainCapsDevice{Supported: "yes", Enums: enums}
}
