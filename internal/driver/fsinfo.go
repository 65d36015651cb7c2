package driver

import (
	"context"
	"path"
	"strconv"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/guestproc"
)

// ubdMajor is the device number of the ubdDisks, each of which has ubdMinors
// (arch/um/drivers/ubd_kern.c, UBD_SHIFT): the disk and 15 partitions.
const ubdMajor, ubdDisks, ubdMinors = 98, 16, 16

// mostFilesystems is REMOTE_DOMAIN_FSINFO_MAX.
const mostFilesystems = 256

// DomainGetFsinfo lists the filesystems that the guest's init sees and that
// are on a disk or a folder of the host.
func (c *Conn) DomainGetFsinfo(ctx context.Context, a *libvirt.DomainGetFsinfoArgs) (*libvirt.DomainGetFsinfoRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetFSInfo"); err != nil {
		return nil, err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.DomainGetFsinfoRet{}
	if ret.Info, err = filesystems(ctx, d); err != nil {
		return nil, err
	}
	ret.Ret = uint32(len(ret.Info))
	return ret, nil
}

// filesystems are at most mostFilesystems.
func filesystems(ctx context.Context, d *domain.Domain) ([]libvirt.DomainFsinfo, error) {
	text, err := ask(ctx, d, fileMounts)
	if err != nil {
		return nil, err
	}
	mounts, err := understood(guestproc.ParseMountinfo(text))
	if err != nil {
		return nil, err
	}
	targets := targetsOf(d)
	var list []libvirt.DomainFsinfo
	for _, m := range mounts {
		if len(list) < mostFilesystems && keepsFiles(m) {
			list = append(list, filesystem(m, targets))
		}
	}
	return list, nil
}

// keepsFiles tells filesystems on disks and shares from what is in the guest's
// memory only.
func keepsFiles(m guestproc.Mount) bool {
	switch m.Type {
	case "btrfs", "hostfs", "humfs", "virtiofs", "9p", "nfs", "nfs4":
		return true
	default:
		return m.Major != 0
	}
}

func filesystem(m guestproc.Mount, targets map[string]string) libvirt.DomainFsinfo {
	info := libvirt.DomainFsinfo{Mountpoint: m.Point, Name: path.Base(m.Source), Fstype: m.Type}
	if m.Major != ubdMajor || m.Minor >= ubdDisks*ubdMinors {
		return info
	}
	disk := "ubd" + string(rune('a'+m.Minor/ubdMinors))
	info.Name = disk
	if partition := m.Minor % ubdMinors; partition > 0 {
		info.Name += strconv.FormatUint(uint64(partition), 10)
	}
	if target := targets[disk]; target != "" {
		info.DevAliases = []string{target}
	}
	return info
}

// addGuestFilesystems tells what DomainGetFsinfo does. The kernel does not
// tell their sizes this way.
func addGuestFilesystems(ctx context.Context, p *params, d *domain.Domain) error {
	list, err := filesystems(ctx, d)
	if err != nil {
		return err
	}
	p.addUint(libvirt.DomainGuestInfoFsCount, uint32(len(list)))
	for i, fs := range list {
		prefix := libvirt.DomainGuestInfoFsPrefix + strconv.Itoa(i)
		p.addString(prefix+libvirt.DomainGuestInfoFsSuffixMountpoint, fs.Mountpoint)
		p.addString(prefix+libvirt.DomainGuestInfoFsSuffixName, fs.Name)
		p.addString(prefix+libvirt.DomainGuestInfoFsSuffixFstype, fs.Fstype)
		p.addUint(prefix+libvirt.DomainGuestInfoFsSuffixDiskCount, uint32(len(fs.DevAliases)))
		for j, alias := range fs.DevAliases {
			disk := prefix + libvirt.DomainGuestInfoFsSuffixDiskPrefix + strconv.Itoa(j)
			p.addString(disk+libvirt.DomainGuestInfoFsSuffixDiskSuffixAlias, alias)
			p.addString(disk+libvirt.DomainGuestInfoFsSuffixDiskSuffixDevice, "/dev/"+fs.Name)
		}
	}
	return nil
}
