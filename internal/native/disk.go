package native

import (
	"path"
	"slices"
	"strconv"
	"strings"

	lx "libvirt.org/go/libvirtxml"
)

// implicitRoot is the file that a kernel without a ubd0 takes for it
// (arch/um/drivers/ubd_kern.c).
const implicitRoot = "root_fs"

// disk is ubdN<flags>=FILE[,BACKING[,SERIAL]]. The kernel takes a colon for a
// comma; "cow:base" is therefore a pair.
func (b *builder) disk(word, name, value string) error {
	unit, flags, ok := readUnit(name)
	if !ok {
		return unsupported("the word '%s': it should be ubdN=FILE or ubdN=COW,BASE, with the letters r, s, c, d and t after N", word)
	}
	parts := strings.SplitN(strings.ReplaceAll(value, ":", ","), ",", 3)
	parts = append(parts, "", "")
	if unit == 0 && parts[0] == "/dev/null" {
		return nil // no disk, so that the kernel takes no file root_fs
	}
	where := "the word '" + word + "'"
	file, err := b.path(where, parts[0])
	if err != nil {
		return err
	}
	disk := newDisk(unit, file)
	disk.Serial = parts[2]
	if backing := parts[1]; backing != "" {
		if backing, err = b.path(where, backing); err != nil {
			return err
		}
		disk.Driver.Type = "cow"
		disk.BackingStore = &lx.DomainDiskBackingStore{
			Format: &lx.DomainDiskFormat{Type: "raw"},
			Source: diskSource(backing),
		}
	}
	setFlags(&disk, flags)
	b.addDisk(disk)
	return nil
}

// addDisk adds a disk; the last one of a unit counts, as for the kernel.
func (b *builder) addDisk(disk lx.DomainDisk) {
	d := b.doc.Devices
	d.Disks = slices.DeleteFunc(d.Disks, func(other lx.DomainDisk) bool { return other.Target.Dev == disk.Target.Dev })
	d.Disks = append(d.Disks, disk)
}

func newDisk(unit int, file string) lx.DomainDisk {
	return lx.DomainDisk{
		Device: "disk",
		Driver: &lx.DomainDiskDriver{Type: "raw"},
		Source: diskSource(file),
		Target: &lx.DomainDiskTarget{Dev: "ubd" + strconv.Itoa(unit), Bus: "uml"},
	}
}

// diskSource takes what lies in /dev for a block device.
func diskSource(file string) *lx.DomainDiskSource {
	if strings.HasPrefix(file, "/dev/") && !strings.HasPrefix(file, "/dev/shm/") {
		return &lx.DomainDiskSource{Block: &lx.DomainDiskSourceBlock{Dev: file}}
	}
	return &lx.DomainDiskSource{File: &lx.DomainDiskSourceFile{File: file}}
}

// setFlags takes ubd's letters. d, no COW file whatever it holds, is what a
// raw disk always is here.
func setFlags(disk *lx.DomainDisk, flags string) {
	for _, flag := range flags {
		switch flag {
		case 'r':
			disk.ReadOnly = &lx.DomainDiskReadOnly{}
		case 's':
			disk.Driver.Cache = "writethrough"
		case 'c':
			disk.Shareable = &lx.DomainDiskShareable{}
		case 't':
			disk.Driver.Discard = "ignore"
		}
	}
	if disk.ReadOnly != nil || disk.BackingStore != nil {
		disk.Shareable = nil // implied, or impossible
	}
}

// readUnit takes "0", "15r" and "as" apart: the unit as a number or a letter,
// then letters for flags.
func readUnit(name string) (unit int, flags string, ok bool) {
	if name == "" {
		return 0, "", false
	}
	switch first := name[0]; {
	case 'a' <= first && first <= 'p':
		unit, flags = int(first-'a'), name[1:]
	default:
		flags = strings.TrimLeft(name, "0123456789")
		n, err := strconv.ParseUint(name[:len(name)-len(flags)], 10, 8)
		if err != nil {
			return 0, "", false
		}
		unit = int(n)
	}
	return unit, flags, unit < 16 && strings.Trim(flags, "rscdt") == ""
}

// implicitDisk is the root_fs of a script that names nothing to boot from.
func (b *builder) implicitDisk() error {
	d := b.doc.Devices
	if len(d.Disks) > 0 || b.doc.OS.Initrd != "" || b.rootHostfs || b.root != "" || b.command.dir == "" {
		return nil
	}
	b.addDisk(newDisk(0, path.Join(b.command.dir, implicitRoot)))
	return nil
}

// bootDisk is a disk as the guest names it.
type bootDisk struct {
	unit     int
	readOnly bool
}

// names are the ways to name the disk in root=. 98 is ubd's major number; a
// disk has 16 minor ones.
func (d bootDisk) names() []string {
	letter, number := string(rune('a'+d.unit)), strconv.Itoa(d.unit)
	return []string{
		"/dev/ubd" + letter, "/dev/ubd" + number, "ubd" + letter, "ubd" + number,
		"/dev/ubd/" + number, "98:" + strconv.Itoa(d.unit*16), "",
	}
}

func (b *builder) bootDisks() []bootDisk {
	var list []bootDisk
	for _, disk := range b.doc.Devices.Disks {
		unit, _, _ := readUnit(strings.TrimPrefix(disk.Target.Dev, "ubd"))
		list = append(list, bootDisk{unit: unit, readOnly: disk.ReadOnly != nil})
	}
	return list
}

// lowest is the disk that is booted when nothing else is said.
func (b *builder) lowest() (bootDisk, bool) {
	list := b.bootDisks()
	if len(list) == 0 {
		return bootDisk{}, false
	}
	return slices.MinFunc(list, func(a, b bootDisk) int { return a.unit - b.unit }), true
}

// readOnlyRoot reports whether virtumld mounts the root filesystem read-only.
func (b *builder) readOnlyRoot() bool {
	if b.rootHostfs {
		return false
	}
	if b.root == "" {
		disk, _ := b.lowest()
		return disk.readOnly
	}
	for _, disk := range b.bootDisks() {
		if strings.HasPrefix(b.root, disk.names()[0]) {
			return disk.readOnly
		}
	}
	return false
}
