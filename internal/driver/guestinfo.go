package driver

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/guestproc"
	"virtumld/internal/virerr"
)

// The files from which a guest is known, below its /proc. Through 1/root, the
// kernel goes from there to any file that its init could read.
const (
	fileHostname   = "sys/kernel/hostname"
	fileArch       = "sys/kernel/arch"
	fileVersion    = "version"
	fileMounts     = "1/mountinfo"
	fileLoad       = "loadavg"
	fileTimers     = "timer_list"
	fileOSRelease  = "1/root/etc/os-release"
	fileOSRelease2 = "1/root/usr/lib/os-release"
	fileTimezone   = "1/root/etc/timezone"
)

// ask reads one file of the guest's /proc.
func ask(ctx context.Context, d *domain.Domain, file string) (string, error) {
	texts, err := d.Proc(ctx, file)
	if err != nil {
		return "", err
	}
	return texts[0], nil
}

// understood gives errors of package guestproc libvirt's code.
func understood[T any](value T, err error) (T, error) {
	if err != nil {
		return value, virerr.New(libvirt.ErrOperationFailed, "%w", err)
	}
	return value, nil
}

// DomainGetHostname tells the host name that the guest's kernel has.
func (c *Conn) DomainGetHostname(ctx context.Context, a *libvirt.DomainGetHostnameArgs) (*libvirt.DomainGetHostnameRet, error) {
	const known = libvirt.DomainGetHostnameLease | libvirt.DomainGetHostnameAgent
	if err := checkFlags(a.Flags, known, "virDomainGetHostname"); err != nil {
		return nil, err
	}
	if a.Flags&libvirt.DomainGetHostnameLease != 0 {
		return nil, virerr.New(libvirt.ErrArgumentUnsupported, "the host name comes from the guest's kernel; use the source agent or none")
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	text, err := ask(ctx, d, fileHostname)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainGetHostnameRet{Hostname: guestproc.Line(text)}, nil
}

// DomainGetTime tells the guest's wall clock.
func (c *Conn) DomainGetTime(ctx context.Context, a *libvirt.DomainGetTimeArgs) (*libvirt.DomainGetTimeRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetTime"); err != nil {
		return nil, err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	text, err := ask(ctx, d, fileTimers)
	if err != nil {
		return nil, err
	}
	at, err := understood(guestproc.ParseTime(text))
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainGetTimeRet{Seconds: at.Unix(), Nseconds: uint32(at.Nanosecond())}, nil
}

// DomainSetTime refuses: a guest's kernel lets its clock be read only.
func (c *Conn) DomainSetTime(_ context.Context, a *libvirt.DomainSetTimeArgs) error {
	if err := checkFlags(a.Flags, libvirt.DomainTimeSync, "virDomainSetTime"); err != nil {
		return err
	}
	if _, err := c.findActive(a.Dom); err != nil {
		return err
	}
	return virerr.New(libvirt.ErrOperationUnsupported, "a User Mode Linux guest's clock cannot be set from outside; set it in the guest")
}

// infoGroup tells one kind of things of a guest.
type infoGroup struct {
	kind libvirt.DomainGuestInfoTypes
	add  func(ctx context.Context, p *params, d *domain.Domain) error
}

var infoGroups = []infoGroup{
	{libvirt.DomainGuestInfoOs, addGuestOS},
	{libvirt.DomainGuestInfoTimezone, addGuestTimezone},
	{libvirt.DomainGuestInfoHostname, addGuestHostname},
	{libvirt.DomainGuestInfoFilesystem, addGuestFilesystems},
	{libvirt.DomainGuestInfoDisks, addGuestDisks},
	{libvirt.DomainGuestInfoInterfaces, addGuestInterfaces},
	{libvirt.DomainGuestInfoLoad, addGuestLoad},
}

// DomainGetGuestInfo tells what the guest's kernel and a few files of its
// root say of it. Of all (types 0), what cannot be told is left out; asked for
// by its name, it is an error.
func (c *Conn) DomainGetGuestInfo(ctx context.Context, a *libvirt.DomainGetGuestInfoArgs) (*libvirt.DomainGetGuestInfoRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetGuestInfo"); err != nil {
		return nil, err
	}
	var groups []infoGroup
	left := a.Types
	for _, g := range infoGroups {
		if a.Types == 0 || a.Types&uint32(g.kind) != 0 {
			groups = append(groups, g)
			left &^= uint32(g.kind)
		}
	}
	if left != 0 {
		return nil, virerr.New(libvirt.ErrArgumentUnsupported,
			"guest information types 0x%x are not known of a User Mode Linux guest: its kernel does not tell of its users", left)
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	var p params
	for _, g := range groups {
		if err := g.add(ctx, &p, d); err != nil && (a.Types != 0 || !errors.Is(err, domain.ErrNoFile)) {
			return nil, err
		}
	}
	const most = 2048 // REMOTE_DOMAIN_GUEST_INFO_PARAMS_MAX
	return &libvirt.DomainGetGuestInfoRet{Params: atMost(p, most)}, nil
}

// osNames are libvirt's names of what is in os-release.
var osNames = []struct{ param, value string }{
	{libvirt.DomainGuestInfoOsID, "ID"},
	{libvirt.DomainGuestInfoOsName, "NAME"},
	{libvirt.DomainGuestInfoOsPrettyName, "PRETTY_NAME"},
	{libvirt.DomainGuestInfoOsVersion, "VERSION"},
	{libvirt.DomainGuestInfoOsVersionID, "VERSION_ID"},
	{libvirt.DomainGuestInfoOsVariant, "VARIANT"},
	{libvirt.DomainGuestInfoOsVariantID, "VARIANT_ID"},
}

func addGuestOS(ctx context.Context, p *params, d *domain.Domain) error {
	release, err := ask(ctx, d, fileOSRelease)
	if errors.Is(err, domain.ErrNoFile) {
		release, err = ask(ctx, d, fileOSRelease2)
	}
	if err != nil && !errors.Is(err, domain.ErrNoFile) {
		return err
	}
	values := guestproc.ParseOSRelease(release)
	for _, name := range osNames {
		if value := values[name.value]; value != "" {
			p.addString(name.param, value)
		}
	}
	text, err := ask(ctx, d, fileVersion)
	if err != nil {
		return err
	}
	kernel, err := understood(guestproc.ParseKernel(text))
	if err != nil {
		return err
	}
	p.addString(libvirt.DomainGuestInfoOsKernelRelease, kernel.Release)
	if kernel.Version != "" {
		p.addString(libvirt.DomainGuestInfoOsKernelVersion, kernel.Version)
	}
	arch, err := ask(ctx, d, fileArch)
	if errors.Is(err, domain.ErrNoFile) {
		return nil // before Linux 6.1
	}
	if err != nil {
		return err
	}
	p.addString(libvirt.DomainGuestInfoOsMachine, guestproc.Line(arch))
	return nil
}

// addGuestTimezone tells the name of the guest's time zone, and its offset in
// seconds if this host knows the zone.
func addGuestTimezone(ctx context.Context, p *params, d *domain.Domain) error {
	text, err := ask(ctx, d, fileTimezone)
	if err != nil {
		return err
	}
	name := guestproc.Line(text)
	p.addString(libvirt.DomainGuestInfoTimezoneName, name)
	if zone, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
		_, offset := time.Now().In(zone).Zone()
		p.addInt(libvirt.DomainGuestInfoTimezoneOffset, int32(offset))
	}
	return nil
}

func addGuestHostname(ctx context.Context, p *params, d *domain.Domain) error {
	text, err := ask(ctx, d, fileHostname)
	if err != nil {
		return err
	}
	p.addString(libvirt.DomainGuestInfoHostnameHostname, guestproc.Line(text))
	return nil
}

// addGuestDisks tells the guest's disks and partitions.
func addGuestDisks(ctx context.Context, p *params, d *domain.Domain) error {
	all, err := guestDisks(ctx, d)
	if err != nil {
		return err
	}
	targets := targetsOf(d)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "nbd")
	})
	p.addUint(libvirt.DomainGuestInfoDiskCount, uint32(len(names)))
	for i, name := range names {
		prefix := libvirt.DomainGuestInfoDiskPrefix + strconv.Itoa(i)
		disk := strings.TrimRight(name, "0123456789")
		p.addString(prefix+libvirt.DomainGuestInfoDiskSuffixName, "/dev/"+name)
		p.addBool(prefix+libvirt.DomainGuestInfoDiskSuffixPartition, disk != name)
		if target := targets[disk]; target != "" && disk == name {
			p.addString(prefix+libvirt.DomainGuestInfoDiskSuffixAlias, target)
		}
	}
	return nil
}

// targetsOf are the targets of the running guest's disks, by the guest's names
// of them.
func targetsOf(d *domain.Domain) map[string]string {
	targets := make(map[string]string)
	if live := d.View().Live; live != nil {
		for _, disk := range live.Disks {
			targets[inGuest(disk)] = disk.Target
		}
	}
	return targets
}

// addGuestInterfaces tells the interfaces that the guest's kernel has of its
// definition's. It does not tell their addresses: kernels do not let files of
// /proc/net be read this way.
func addGuestInterfaces(ctx context.Context, p *params, d *domain.Domain) error {
	live := d.View().Live
	if live == nil {
		return domain.ErrNotRunning()
	}
	var found params
	count := 0
	for _, n := range live.Interfaces {
		name := "vec" + strconv.Itoa(n.Unit)
		text, err := ask(ctx, d, "1/root/sys/class/net/"+name+"/address")
		if errors.Is(err, domain.ErrNoFile) {
			continue
		}
		if err != nil {
			return err
		}
		prefix := libvirt.DomainGuestInfoIfPrefix + strconv.Itoa(count)
		found.addString(prefix+libvirt.DomainGuestInfoIfSuffixName, name)
		found.addString(prefix+libvirt.DomainGuestInfoIfSuffixHwaddr, guestproc.Line(text))
		count++
	}
	p.addUint(libvirt.DomainGuestInfoIfCount, uint32(count))
	*p = append(*p, found...)
	return nil
}

func addGuestLoad(ctx context.Context, p *params, d *domain.Domain) error {
	text, err := ask(ctx, d, fileLoad)
	if err != nil {
		return err
	}
	load, err := understood(guestproc.ParseLoad(text))
	if err != nil {
		return err
	}
	p.addDouble(libvirt.DomainGuestInfoLoad1m, load[0])
	p.addDouble(libvirt.DomainGuestInfoLoad5m, load[1])
	p.addDouble(libvirt.DomainGuestInfoLoad15m, load[2])
	return nil
}
