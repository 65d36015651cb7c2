package run

import (
	"encoding/xml"

	lx "libvirt.org/go/libvirtxml"
)

// document is the domain of a plan, with the paths of its two volumes. The
// root is the disk of the lowest unit, which the daemon tells the kernel.
func (p plan) document(root, spec string) (string, error) {
	zero := uint(0)
	d := lx.Domain{
		Type:   "uml",
		Name:   p.name,
		Memory: &lx.DomainMemory{Value: uint(p.memory), Unit: "KiB"},
		OS: &lx.DomainOS{
			Type:    &lx.DomainOSType{Type: "uml"},
			Kernel:  p.kernel,
			Cmdline: "init=/.virtuml/init quiet",
		},
		OnPoweroff: "destroy",
		OnReboot:   "destroy",
		OnCrash:    "destroy",
		Devices: &lx.DomainDeviceList{
			Disks:    []lx.DomainDisk{disk("ubd0", "cow", root), disk("ubd1", "raw", spec)},
			Consoles: []lx.DomainConsole{{Source: &lx.DomainChardevSource{Pty: &lx.DomainChardevSourcePty{}}, Target: &lx.DomainConsoleTarget{Port: &zero}}},
		},
	}
	for i, s := range p.shares {
		d.Devices.Filesystems = append(d.Devices.Filesystems, filesystem(shareName(i), s))
	}
	if p.network {
		d.Devices.Interfaces = []lx.DomainInterface{p.userNetwork()}
	}
	text, err := xml.MarshalIndent(d, "", "  ")
	return string(text), err
}

func disk(target, format, path string) lx.DomainDisk {
	return lx.DomainDisk{
		Device: "disk",
		Driver: &lx.DomainDiskDriver{Type: format},
		Source: &lx.DomainDiskSource{File: &lx.DomainDiskSourceFile{File: path}},
		Target: &lx.DomainDiskTarget{Dev: target, Bus: "uml"},
	}
}

func filesystem(target string, s share) lx.DomainFilesystem {
	f := lx.DomainFilesystem{
		Source: &lx.DomainFilesystemSource{Mount: &lx.DomainFilesystemSourceMount{Dir: s.host}},
		Target: &lx.DomainFilesystemTarget{Dir: target},
	}
	if s.readOnly {
		f.ReadOnly = &lx.DomainFilesystemReadOnly{}
	}
	return f
}

// userNetwork is <interface type='user'> with its forwarded ports, which
// libvirt's schema has for this backend only.
func (p plan) userNetwork() lx.DomainInterface {
	i := lx.DomainInterface{
		Source:  &lx.DomainInterfaceSource{User: &lx.DomainInterfaceSourceUser{}},
		Backend: &lx.DomainInterfaceBackend{Type: "passt"},
	}
	for _, forward := range p.ports {
		f := lx.DomainInterfaceSourcePortForward{
			Proto:  forward.protocol,
			Ranges: []lx.DomainInterfaceSourcePortForwardRange{{Start: uint(forward.host), To: uint(forward.guest)}},
		}
		if forward.address.IsValid() {
			f.Address = forward.address.String()
		}
		i.PortForward = append(i.PortForward, f)
	}
	return i
}

// volume is what a <volume> document is made of.
type volume struct {
	XMLName  xml.Name      `xml:"volume"`
	Name     string        `xml:"name"`
	Capacity uint64        `xml:"capacity"`
	Format   volumeFormat  `xml:"target>format"`
	Backing  *volumeSource `xml:"backingStore"`
}

type volumeFormat struct {
	Type string `xml:"type,attr"`
}

type volumeSource struct {
	Path   string       `xml:"path"`
	Format volumeFormat `xml:"format"`
}
