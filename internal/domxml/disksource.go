package domxml

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// Source names what a disk is made of, for messages: its path, or pool and
// volume.
func (d Disk) Source() string {
	if d.Volume != "" {
		return d.Pool + "/" + d.Volume
	}
	return d.Path
}

// Disk finds a disk as libvirt's API names one: by its target, or by the path
// of its source when only one disk has that
// (src/conf/domain_conf.c, virDomainDiskIndexByName).
func (d *Definition) Disk(name string) (disk Disk, found bool) {
	byPath := strings.HasPrefix(name, "/")
	for _, candidate := range d.Disks {
		switch {
		case !byPath && candidate.Target == name:
			return candidate, true
		case byPath && candidate.Path == name:
			if found {
				return Disk{}, false
			}
			disk, found = candidate, true
		}
	}
	return disk, found
}

// backingPath is the file or device that a <backingStore> names, or "".
func backingPath(b *lx.DomainDiskBackingStore) string {
	if b == nil || b.Source == nil {
		return ""
	}
	return sourcePath(b.Source)
}

func sourcePath(s *lx.DomainDiskSource) string {
	switch {
	case s == nil:
		return ""
	case s.File != nil:
		return s.File.File
	case s.Block != nil:
		return s.Block.Dev
	}
	return ""
}

// readDiskSource takes <source>: a file, a block device or a volume.
func readDiskSource(where string, s *lx.DomainDiskSource, disk *Disk) error {
	if s.Volume != nil {
		return readVolume(where, s.Volume, disk)
	}
	disk.Path, disk.Block = sourcePath(s), s.Block != nil
	if disk.Path == "" {
		return virerr.New(libvirt.ErrNoSource, "%s", disk.Target)
	}
	return checkPath(where, disk.Path)
}

// readVolume takes a volume's pool and name. Where it is shows when the guest
// starts: the pool need not exist before.
func readVolume(where string, v *lx.DomainDiskSourceVolume, disk *Disk) error {
	disk.Pool, disk.Volume = v.Pool, v.Volume
	switch {
	case v.Pool == "" && v.Volume == "":
		return virerr.New(libvirt.ErrNoSource, "%s", disk.Target)
	case v.Pool == "" || v.Volume == "":
		return invalid("'pool' and 'volume' must be specified together for 'pool' type source")
	case v.Mode == "host" || v.Mode == "direct":
		return invalid("%s: disk source mode is only valid when storage pool is of iscsi type", where)
	case v.Mode != "":
		return virerr.New(libvirt.ErrConfigUnsupported, "unknown source mode '%s' for volume type disk", v.Mode)
	}
	return nil
}
