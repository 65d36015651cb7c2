package domxml

import (
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// setDiskDefaults fills in what a <disk> implies. A disk with a backing store
// is a copy-on-write file.
func setDiskDefaults(k *lx.DomainDisk) {
	setDefault(&k.Device, "disk")
	if t := k.Target; t != nil && t.Bus == "" {
		_, t.Bus, _ = diskUnit(t.Dev)
	}
	if backingPath(k.BackingStore) != "" {
		if k.Driver == nil {
			k.Driver = &lx.DomainDiskDriver{}
		}
		setDefault(&k.Driver.Type, "cow")
	}
}

func readDisks(d *document, def *Definition) error {
	units := map[int]int{} // unit to index in def.Disks
	for i := range d.Devices.Disks {
		k := &d.Devices.Disks[i]
		disk, err := readDisk(k)
		if err != nil {
			return err
		}
		if first, taken := units[disk.Unit]; taken {
			other := def.Disks[first]
			if other.Target == disk.Target {
				return invalid("target '%s' duplicated for disk sources '%s' and '%s'", disk.Target, other.Source(), disk.Source())
			}
			return invalid("disk targets '%s' and '%s' are both the guest's ubd%d, choose another for one", other.Target, disk.Target, disk.Unit)
		}
		if other, found := sharing(def.Disks, disk); found {
			return invalid("disks '%s' and '%s' have the same source '%s': <shareable/> or <readonly/> in both allows that", other.Target, disk.Target, disk.Source())
		}
		units[disk.Unit] = i
		def.Disks = append(def.Disks, disk)
	}
	return nil
}

// sharing finds the disk whose source is disk's too, though one of them wants
// it for itself.
func sharing(disks []Disk, disk Disk) (Disk, bool) {
	alone := func(d Disk) bool { return !d.ReadOnly && !d.Shareable }
	for _, other := range disks {
		if other.Source() == disk.Source() && (alone(other) || alone(disk)) {
			return other, true
		}
	}
	return Disk{}, false
}

// readDisk takes one <disk>.
func readDisk(k *lx.DomainDisk) (Disk, error) {
	disk, err := readDiskTarget(k)
	if err != nil {
		return Disk{}, err
	}
	where := "disk '" + disk.Target + "'"
	if err := checkDiskKind(where, k); err != nil {
		return Disk{}, err
	}
	if err := readDiskSource(where, k.Source, &disk); err != nil {
		return Disk{}, err
	}
	disk.ReadOnly, disk.Shareable = k.ReadOnly != nil, k.Shareable != nil
	if err := readDiskDriver(where, k.Driver, &disk); err != nil {
		return Disk{}, err
	}
	if err := readBacking(where, k.BackingStore, &disk); err != nil {
		return Disk{}, err
	}
	disk.Serial = k.Serial
	if strings.Trim(k.Serial, serialCharacters) != "" {
		return Disk{}, invalid("%s: serial '%s' may hold letters, digits and '_.+-' only", where, k.Serial)
	}
	return disk, nil
}

// serialCharacters are libvirt's (domaincommon.rng, diskSerial) less the
// space, at which the kernel's command line would break.
const serialCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-"

func readDiskTarget(k *lx.DomainDisk) (Disk, error) {
	if k.Target == nil || k.Target.Dev == "" {
		return Disk{}, virerr.New(libvirt.ErrNoTarget, "%s", sourcePath(k.Source))
	}
	target := k.Target.Dev
	unit, bus, ok := diskUnit(target)
	switch {
	case !ok && bus != "":
		return Disk{}, unsupported("disk '%s': User Mode Linux has units 0 to %d, use a target from ubd0 to ubd%d (or ubda to ubdp)",
			target, MaxDisks-1, MaxDisks-1)
	case !ok:
		return Disk{}, invalid("Unknown disk name '%s', use one from ubd0 to ubd%d", target, MaxDisks-1)
	}
	switch k.Target.Bus {
	case "uml", "ide", "scsi", "virtio", "xen", "usb", "sata":
	case "fdc", "sd":
		return Disk{}, unsupported("disk '%s': bus='%s' is not available, use bus='uml'", target, k.Target.Bus)
	default:
		return Disk{}, virerr.In(virerr.XML, libvirt.ErrXMLError,
			"Invalid value for attribute 'bus' in element 'target': '%s'.", k.Target.Bus)
	}
	alias := "ubd" + strconv.Itoa(unit)
	if k.Alias != nil {
		alias = k.Alias.Name
	}
	return Disk{Target: target, Unit: unit, Alias: alias}, nil
}

// checkDiskKind refuses kinds of disks and properties that ubd lacks.
func checkDiskKind(where string, k *lx.DomainDisk) error {
	switch k.Device {
	case "disk":
	case "cdrom", "floppy", "lun":
		return unsupported("%s: device='%s' is not available, use device='disk' with <readonly/>", where, k.Device)
	default:
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'device' in element 'disk': '%s'.", k.Device)
	}
	s := k.Source
	if s == nil || (s.File == nil && s.Block == nil && s.Volume == nil) {
		return unsupported("%s: only type='file', type='block' and type='volume' are available", where)
	}
	return refuseIn(where, []refusal{
		{"encryption", k.Encryption != nil || s.Encryption != nil, "decrypt the image on the host"},
		{"auth", k.Auth != nil, ""},
		{"iotune", k.IOTune != nil, "limits on block I/O are not applied"},
		{"throttlefilters", k.ThrottleFilters != nil, "limits on block I/O are not applied"},
		{"transient", k.Transient != nil, "use driver type='cow' with a <backingStore>"},
		{"geometry", k.Geometry != nil, ""},
		{"blockio", k.BlockIO != nil, "sectors have 512 bytes"},
		{"wwn", k.WWN != "", ""},
		{"vendor", k.Vendor != "", ""},
		{"product", k.Product != "", ""},
		{"backenddomain", k.BackendDomain != nil, ""},
		{"source startupPolicy", s.StartupPolicy != "" && s.StartupPolicy != "mandatory", ""},
		{"source/reservations", s.Reservations != nil, ""},
		{"source/slices", s.Slices != nil, ""},
		{"source/dataStore", s.DataStore != nil, ""},
		{"source fdgroup", s.File != nil && s.File.FDGroup != "", ""},
		{"disk rawio", k.RawIO == "yes", ""},
		{"disk sgio", k.SGIO == "unfiltered", ""},
	})
}

// refuseIn refuses the first element of list that is present, as part of the
// device that where names.
func refuseIn(where string, list []refusal) error {
	for _, r := range list {
		switch {
		case !r.present:
		case r.hint == "":
			return unsupported("%s: element <%s> is not available in User Mode Linux guests", where, r.element)
		default:
			return unsupported("%s: element <%s> is not available in User Mode Linux guests: %s", where, r.element, r.hint)
		}
	}
	return nil
}

// readDiskDriver takes <driver>: the image's format and its caching.
func readDiskDriver(where string, r *lx.DomainDiskDriver, disk *Disk) error {
	if r == nil {
		return nil
	}
	switch r.Type {
	case "", "raw":
	case "cow":
		disk.COW = true
	case "iso":
		return unsupported("%s: driver type='iso' is not available: use type='raw' with <readonly/>, a guest mounts such an image as it is", where)
	default:
		return unsupported("%s: driver type='%s' is not available, only raw and cow are; "+
			"convert the image with 'qemu-img convert -O raw'", where, r.Type)
	}
	disk.FormatGiven = r.Type != ""
	switch r.Cache {
	case "", "default", "none", "writeback", "unsafe":
	case "writethrough", "directsync":
		disk.Sync = true
	default:
		return badAttribute("cache", r.Cache)
	}
	switch r.Discard {
	case "", "unmap":
	case "ignore":
		disk.NoDiscard = true
	default:
		return badAttribute("discard", r.Discard)
	}
	return refuseIn(where, []refusal{
		{"driver copy_on_read", r.CopyOnRead == "on", ""},
		{"driver iothread", r.IOThread != nil || r.IOThreads != nil, ""},
		{"driver error_policy", r.ErrorPolicy != "" && r.ErrorPolicy != "report", "errors are reported to the guest"},
		{"driver rerror_policy", r.RErrorPolicy != "" && r.RErrorPolicy != "report", "errors are reported to the guest"},
		{"driver/metadata_cache", r.MetadataCache != nil, ""},
	})
}

func badAttribute(name, value string) error {
	return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute '%s' in element 'driver': '%s'.", name, value)
}

// readBacking takes <backingStore>, the file that a copy-on-write file covers.
func readBacking(where string, b *lx.DomainDiskBackingStore, disk *Disk) error {
	disk.Backing = backingPath(b)
	if disk.COW && disk.Shareable {
		return unsupported("%s: a copy-on-write file cannot be <shareable/>", where)
	}
	if disk.Backing == "" {
		if b != nil && b.Source != nil && b.Source.File == nil && b.Source.Block == nil && !isEmptySource(b.Source) {
			return unsupported("%s: <backingStore>: only type='file' and type='block' are available", where)
		}
		return nil
	}
	where += ": <backingStore>"
	switch {
	case !disk.COW:
		return unsupported("%s: a raw image has none, use driver type='cow'", where)
	case b.Format != nil && b.Format.Type != "raw":
		return unsupported("%s: format '%s' is not available, a copy-on-write file covers a raw image", where, b.Format.Type)
	case backingPath(b.BackingStore) != "":
		return unsupported("%s: chains are not available, a copy-on-write file covers a raw image", where)
	case disk.Backing == disk.Path:
		return invalid("%s: '%s' is the disk's own source", where, disk.Backing)
	}
	return checkPath(where, disk.Backing)
}

// isEmptySource tells libvirtxml's reading of <backingStore/>, the end of a
// chain, from a source of some other kind.
func isEmptySource(s *lx.DomainDiskSource) bool {
	return s.Dir == nil && s.Network == nil && s.Volume == nil && s.NVME == nil && s.VHostUser == nil && s.VHostVDPA == nil && s.Ctl == nil
}
