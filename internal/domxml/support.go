package domxml

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// This file is the list of what a UML guest's document may hold besides what
// is carried out (see Definition).
//
// Tolerated: stored and shown, without effect on the guest. These are what
// stock tools add to every guest, and none of them promises protection or a
// limit that would then be missing:
//
//	<metadata>, <seclabel>, <resource>, <pm>, <cpu> but for its <numa>,
//	<memoryBacking> but for <hugepages> and <locked>,
//	<features>: <acpi>, <apic>, <pae>, <hap>, <vmport>, <ps2>
//	<clock> with offset utc or localtime, its <timer>s
//	<os>: <boot>, <bootmenu enable='no'>
//	<devices>: <emulator>, <controller>, <input> (mouse, tablet, keyboard),
//	<graphics> (vnc, spice), <audio type='none'>, <video>,
//	<memballoon> (none, virtio), <rng>
//	a disk's <boot>, <address>, snapshot attribute, driver name, io and
//	detect_zeroes attributes, and cache modes that ask for no write-through
//
// Refused with ErrConfigUnsupported, naming the element: the two tables below
// and what the files on disks, lines, shares and <os> refuse. Other
// hypervisors' namespaces (qemu:commandline, ...) are dropped, as every driver
// of libvirt drops those of the others.

// refusal is an element that no UML guest can have.
type refusal struct {
	element string
	present bool
	hint    string // what to do instead, or ""
}

// topRefusals are the refused elements of <domain> and of its plain groups.
func topRefusals(d *document) []refusal {
	return []refusal{
		{"hwuuid", d.HWUUID != "", ""},
		{"genid", d.GenID != nil, ""},
		{"maxMemory", d.MaximumMemory != nil, "memory cannot be plugged in beyond <memory>"},
		{"blkiotune", d.BlockIOTune != nil, "limits on block I/O are not applied"},
		{"memtune", d.MemoryTune != nil, "limits on memory are not applied"},
		{"cputune", d.CPUTune != nil, "limits on CPU time and pinning are not applied"},
		{"numatune", d.NUMATune != nil, "pinning to host nodes is not applied"},
		{"memoryBacking/hugepages", d.MemoryBacking != nil && d.MemoryBacking.MemoryHugePages != nil, "the guest's memory is a file of ordinary pages"},
		{"memoryBacking/locked", d.MemoryBacking != nil && d.MemoryBacking.MemoryLocked != nil, "the guest's memory cannot be locked"},
		{"vcpus", d.VCPUs != nil && partlyOffline(d.VCPUs), "use <vcpu> alone"},
		{"iothreads", d.IOThreads != 0 || d.IOThreadIDs != nil, ""},
		{"sysinfo", len(d.SysInfo) != 0, "the guest has no firmware tables"},
		{"bootloader", d.Bootloader != "" || d.BootloaderArgs != "", "use <os><kernel>"},
		{"idmap", d.IDMap != nil, ""},
		{"throttlegroups", d.ThrottleGroups != nil, "limits on block I/O are not applied"},
		{"cpu/numa", d.CPU != nil && d.CPU.Numa != nil, "the guest has one node"},
		{"perf", d.Perf != nil, ""},
		{"keywrap", d.KeyWrap != nil, ""},
		{"launchSecurity", d.LaunchSecurity != nil, ""},
	}
}

// deviceRefusals are the refused elements of <devices>.
func deviceRefusals(d *lx.DomainDeviceList) []refusal {
	return []refusal{
		{"lease", len(d.Leases) != 0, ""},
		{"smartcard", len(d.Smartcards) != 0, ""},
		{"parallel", len(d.Parallels) != 0, "use <serial>"},
		{"channel", len(d.Channels) != 0, "use <serial> or <console>"},
		{"tpm", len(d.TPMs) != 0, ""},
		{"sound", len(d.Sounds) != 0, ""},
		{"hostdev", len(d.Hostdevs) != 0, "host devices cannot be passed through"},
		{"redirdev", len(d.RedirDevs) != 0, ""},
		{"redirfilter", len(d.RedirFilters) != 0, ""},
		{"hub", len(d.Hubs) != 0, ""},
		{"watchdog", len(d.Watchdogs) != 0, ""},
		{"nvram", d.NVRAM != nil, ""},
		{"panic", len(d.Panics) != 0, "a panic of the guest is always noticed, see <on_crash>"},
		{"shmem", len(d.Shmems) != 0, ""},
		{"memory", len(d.Memorydevs) != 0, "use <memory> of the domain"},
		{"iommu", len(d.IOMMUs) != 0, ""},
		{"vsock", d.VSock != nil, ""},
		{"crypto", len(d.Crypto) != 0, ""},
		{"pstore", d.PStore != nil, ""},
	}
}

// featureRefusals are the refused elements of <features>.
func featureRefusals(f *lx.DomainFeatureList) []refusal {
	return []refusal{
		{"viridian", f.Viridian != nil, ""},
		{"privnet", f.PrivNet != nil, ""},
		{"hyperv", f.HyperV != nil, ""},
		{"kvm", f.KVM != nil, ""},
		{"xen", f.Xen != nil, ""},
		{"pvspinlock", f.PVSpinlock != nil, ""},
		{"pmu", f.PMU != nil, ""},
		{"gic", f.GIC != nil, ""},
		{"smm", f.SMM != nil, ""},
		{"ioapic", f.IOAPIC != nil, ""},
		{"hpt", f.HPT != nil, ""},
		{"htm", f.HTM != nil, ""},
		{"nested-hv", f.NestedHV != nil, ""},
		{"capabilities", f.Capabilities != nil, ""},
		{"vmcoreinfo", f.VMCoreInfo != nil, ""},
		{"msrs", f.MSRS != nil, ""},
		{"ccf-assist", f.CCFAssist != nil, ""},
		{"cfpc", f.CFPC != nil, ""},
		{"sbbc", f.SBBC != nil, ""},
		{"ibs", f.IBS != nil, ""},
		{"tcg", f.TCG != nil, ""},
		{"async-teardown", f.AsyncTeardown != nil, ""},
		{"ras", f.RAS != nil, ""},
		{"aia", f.AIA != nil, ""},
		{"virtualization", f.Virtualization != nil, ""},
	}
}

// checkSupport refuses the elements of the tables and the device models that
// are not tolerated.
func checkSupport(d *document) error {
	if err := refuse("", topRefusals(d)); err != nil {
		return err
	}
	if d.Features != nil {
		if err := refuse("features/", featureRefusals(d.Features)); err != nil {
			return err
		}
	}
	if c := d.Clock; c.Offset != "utc" && c.Offset != "localtime" {
		return unsupported("element <clock>: offset='%s': a UML guest's clock follows the host's, use offset='utc'", c.Offset)
	}
	if err := refuse("devices/", deviceRefusals(d.Devices)); err != nil {
		return err
	}
	return checkModels(d.Devices)
}

func refuse(parent string, list []refusal) error {
	for _, r := range list {
		if !r.present {
			continue
		}
		if r.hint == "" {
			return unsupported("element <%s>: not available in User Mode Linux guests", parent+r.element)
		}
		return unsupported("element <%s>: not available in User Mode Linux guests: %s", parent+r.element, r.hint)
	}
	return nil
}

// checkModels refuses those models of tolerated devices that ask for more
// than a device nobody looks at.
func checkModels(d *lx.DomainDeviceList) error {
	for _, in := range d.Inputs {
		if in.Type != "mouse" && in.Type != "tablet" && in.Type != "keyboard" {
			return unsupported("element <devices/input>: type='%s' is not available in User Mode Linux guests", in.Type)
		}
	}
	for _, g := range d.Graphics {
		if g.VNC == nil && g.Spice == nil {
			return unsupported("element <devices/graphics>: User Mode Linux guests have no display; only type='vnc' and type='spice' are tolerated, without effect")
		}
	}
	for _, a := range d.Audios {
		if a.None == nil {
			return unsupported("element <devices/audio>: User Mode Linux guests have no sound; only type='none' is tolerated")
		}
	}
	if b := d.MemBalloon; b != nil && b.Model != "none" && !strings.HasPrefix(b.Model, "virtio") {
		return unsupported("element <devices/memballoon>: model='%s' is not available in User Mode Linux guests", b.Model)
	}
	return nil
}

// partlyOffline reports whether some vcpu is not there from the start.
func partlyOffline(v *lx.DomainVCPUs) bool {
	for _, vcpu := range v.VCPU {
		if vcpu.Enabled != "yes" {
			return true
		}
	}
	return false
}

// unsupported is the error for valid XML that a UML guest cannot carry out.
func unsupported(format string, args ...any) error {
	return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported, format, args...)
}

// invalid is the error for values that make no sense for any hypervisor.
func invalid(format string, args ...any) error {
	return virerr.New(libvirt.ErrXMLError, format, args...)
}

// invalidArgument is the error for a caller's bad argument.
func invalidArgument(format string, args ...any) error {
	return virerr.New(libvirt.ErrInvalidArg, format, args...)
}
