package domxml

import (
	"encoding/xml"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// diskDevice is the document of one <disk>.
type diskDevice struct {
	element lx.DomainDisk
	fields  Disk // target and unit alone are read
}

// IsDisk says that the device is a <disk>.
func (dev *Device) IsDisk() bool { return dev.Kind == "disk" }

// DiskUnit is the ubd unit that the <disk>'s target means.
func (dev *Device) DiskUnit() int { return dev.disk.fields.Unit }

// readDisk reads what tells one disk from another: its target. The rest is
// checked where the disk is added.
func (dev *Device) readDisk(decode func(any) error) (err error) {
	k := &dev.disk.element
	if err := decode(k); err != nil {
		return err
	}
	k.XMLName = xml.Name{Local: k.XMLName.Local}
	k.Alias = userAlias(k.Alias)
	k.Mirror = nil
	setDiskDefaults(k)
	dev.disk.fields, err = readDiskTarget(k)
	return err
}

// DiskByUnit finds the disk ubd<unit>.
func (d *Definition) DiskByUnit(unit int) (disk Disk, found bool) {
	i := d.diskAt(unit)
	if i < 0 {
		return Disk{}, false
	}
	return d.Disks[i], true
}

// DiskByAlias finds the disk of that alias.
func (d *Definition) DiskByAlias(alias string) (disk Disk, found bool) {
	i := slices.IndexFunc(d.Disks, func(k Disk) bool { return k.Alias == alias })
	if i < 0 {
		return Disk{}, false
	}
	return d.Disks[i], true
}

// MatchDisk finds the disk of d that the device means, by its target as libvirt
// does; the error is ErrDeviceMissing.
func (d *Definition) MatchDisk(dev *Device) (Disk, error) {
	disk, found := d.DiskByUnit(dev.DiskUnit())
	if !found {
		return Disk{}, virerr.New(libvirt.ErrDeviceMissing, "no target device %s", dev.disk.fields.Target)
	}
	return disk, nil
}

func (d *Definition) diskAt(unit int) int {
	return slices.IndexFunc(d.Disks, func(k Disk) bool { return k.Unit == unit })
}

// WithDisk returns d with the disk added. A disk that has its target already is
// ErrOperationInvalid.
func (d *Definition) WithDisk(dev *Device) (*Definition, error) {
	target := dev.disk.fields.Target
	if other, found := d.DiskByUnit(dev.DiskUnit()); found && other.Target == target {
		return nil, virerr.New(libvirt.ErrOperationInvalid, "target %s already exists", target)
	} else if found {
		return nil, virerr.New(libvirt.ErrOperationInvalid, "target %s already exists: it is the guest's ubd%d, as '%s' is", target, other.Unit, other.Target)
	}
	return d.edit(func(doc *document) error {
		doc.Devices.Disks = append(doc.Devices.Disks, dev.disk.element)
		return nil
	})
}

// WithoutDisk returns d without the disk ubd<unit>, which it has.
func (d *Definition) WithoutDisk(unit int) (*Definition, error) {
	return d.edit(func(doc *document) error {
		doc.Devices.Disks = slices.Delete(doc.Devices.Disks, d.diskAt(unit), d.diskAt(unit)+1)
		return nil
	})
}

// WithDiskUpdate returns d with the disk that dev means changed to dev. Its
// target and alias stay.
func (d *Definition) WithDiskUpdate(dev *Device) (*Definition, error) {
	was, err := d.MatchDisk(dev)
	if err != nil {
		return nil, err
	}
	return d.edit(func(doc *document) error {
		k := &doc.Devices.Disks[d.diskAt(was.Unit)]
		next := dev.disk.element
		next.Target, next.Alias, next.Address = k.Target, k.Alias, k.Address
		*k = next
		return nil
	})
}
