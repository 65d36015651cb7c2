package cmdline

import (
	"path/filepath"
	"strconv"
	"strings"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/kernel"
)

// NoDisk stands for unit 0 where the definition has none. A kernel without a
// ubd0 opens the file root_fs of its working folder, and one that fails to
// open it can neither plug in a disk there nor remove it without an oops. The
// null device is a disk of no sectors, which can be removed and replaced.
func NoDisk() supervisor.Disk { return supervisor.Disk{Unit: 0, Arg: "ubd0rcd=/dev/null"} }

// disks gives each disk its unit.
func (b *builder) disks() error {
	if !b.caps.UBD {
		if len(b.def.Disks) > 0 {
			return errNoUBD(b.def.Disks[0], b.caps)
		}
		return nil
	}
	first := false
	for _, disk := range b.def.Disks {
		first = first || disk.Unit == 0
		named, known := b.options.Backing[disk.Unit]
		if !known {
			named = disk.Backing
		}
		made, err := Disk(disk, b.caps, named)
		if err != nil {
			return err
		}
		b.line.Disks = append(b.line.Disks, made)
	}
	if !first {
		b.line.Disks = append(b.line.Disks, NoDisk())
	}
	return nil
}

func errNoUBD(disk domxml.Disk, caps *kernel.Caps) error {
	return unsupported("<disk> %s: the kernel %s has no ubd devices (CONFIG_BLK_DEV_UBD)", disk.Target, caps.Path)
}

// DiskName is the kernel's name of a unit.
func DiskName(unit int) string { return "ubd" + strconv.Itoa(unit) }

// DiskFile is the supervisor.File.Guest of the disk ubd<unit>.
func DiskFile(unit int) string { return "/disk" + strconv.Itoa(unit) }

// Disk is ubdN<flags>=FILE[,,SERIAL] (ubd_kern.c, ubd_setup_common). named is
// where the header of a COW file has its backing file; that is not an argument:
// the kernel opens it by the header's path, where it has to be, and never
// rewrites the header.
func Disk(disk domxml.Disk, caps *kernel.Caps, named string) (supervisor.Disk, error) {
	if !caps.UBD {
		return supervisor.Disk{}, errNoUBD(disk, caps)
	}
	path := DiskFile(disk.Unit)
	value := supervisor.Root + path
	if disk.Serial != "" {
		if err := checkSerial(disk, caps); err != nil {
			return supervisor.Disk{}, err
		}
		value += ",," + disk.Serial
	}
	word := DiskName(disk.Unit) + diskFlags(disk) + "=" + value
	if strings.Contains(word, " ") {
		word = `"` + word + `"`
	}
	file := supervisor.File{Host: disk.Path, Guest: path, ReadOnly: disk.ReadOnly, Lock: supervisor.LockShared, Own: true}
	if !disk.ReadOnly && !disk.Shareable {
		file.Lock = supervisor.LockWrite
	}
	made := supervisor.Disk{Unit: disk.Unit, Arg: word, Files: []supervisor.File{file}}
	if disk.COW {
		backing, err := backing(disk, named)
		if err != nil {
			return supervisor.Disk{}, err
		}
		made.Files = append(made.Files, backing)
	}
	return made, nil
}

// diskFlags are ubd's letters. c leaves the kernel's own locks out: the
// supervisor holds locks of its own, for the guest's whole life. d keeps a
// guest from turning its raw disk into a COW file over any file of the host.
func diskFlags(disk domxml.Disk) string {
	flags := ""
	if disk.ReadOnly {
		flags += "r"
	}
	if disk.Sync {
		flags += "s"
	}
	flags += "c"
	if !disk.COW {
		flags += "d"
	}
	if disk.NoDiscard {
		flags += "t"
	}
	return flags
}

// backing puts the backing file where the COW file's header says it is.
func backing(disk domxml.Disk, named string) (supervisor.File, error) {
	if !filepath.IsAbs(named) || filepath.Clean(named) != named || named == "/" {
		return supervisor.File{}, unsupported("<disk> %s: the header of %s names the backing file %q, which is not a plain absolute path; make the file anew", disk.Target, disk.Path, named)
	}
	host := disk.Backing
	if host == "" {
		host = named
	}
	return supervisor.File{Host: host, Guest: named, ReadOnly: true, Lock: supervisor.LockShared, Own: true}, nil
}

func checkSerial(disk domxml.Disk, caps *kernel.Caps) error {
	if !caps.UBDSerial {
		return unsupported("<serial> of disk %s: the kernel %s takes no serial numbers", disk.Target, caps.Path)
	}
	for _, c := range []byte(disk.Serial) {
		if c < ' ' || c > '~' || strings.IndexByte(`,:"`, c) >= 0 {
			return unsupported(`<serial> of disk %s: %q holds a character that the kernel's ubd syntax has no place for (comma, colon, quote, control or non-ASCII)`, disk.Target, disk.Serial)
		}
	}
	return nil
}
