// Package domxml turns a <domain type='uml'> document into a Definition and
// back: libvirt's defaults, the checks that need nothing but the document, and
// the live and inactive texts. It is pure: it opens no file, asks no kernel
// and knows no running guest.
package domxml

import "github.com/google/uuid"

// Definition is one domain's configuration. It is immutable: an edit makes a
// new Definition.
type Definition struct {
	Name        string
	UUID        uuid.UUID
	Title       string
	Description string

	// MaxMemory is <memory>: what the kernel boots with, in KiB.
	MaxMemory uint64
	// CurrentMemory is <currentMemory> in KiB, at most MaxMemory.
	CurrentMemory uint64
	// VCPUs is the <vcpu> maximum, VCPUsCurrent its current attribute.
	VCPUs, VCPUsCurrent uint

	OS          OS
	OnPoweroff  Action
	OnReboot    Action
	OnCrash     Action
	Disks       []Disk
	Chardevs    []Chardev // the consoles, then the serials
	Filesystems []Filesystem
	Interfaces  []Interface

	// text is the canonical inactive document, secrets included; public is
	// the same without them.
	text, public string
}

// OS is what <os> says of the boot.
type OS struct {
	// Kernel and Initrd are absolute host paths; Kernel "" means the
	// host's default UML kernel.
	Kernel, Initrd string
	// Cmdline is <cmdline>, appended to the kernel's command line.
	Cmdline string
	// Root is <root>, the root device ("/dev/ubda"); "" means the first disk.
	Root string
}

// Action is a lifecycle action of <on_poweroff>, <on_reboot> and <on_crash>.
type Action string

// The actions that a UML guest can be given.
const (
	ActionDestroy  Action = "destroy"
	ActionRestart  Action = "restart"
	ActionPreserve Action = "preserve"
)

// Disk is one <disk>.
type Disk struct {
	// Target is <target dev> as written ("ubd0", "vda"); Alias is
	// libvirt's name for the device in the live XML.
	Target, Alias string
	// Unit is the ubd unit, 0 to 15.
	Unit int
	// Path is the image's or block device's absolute host path; "" in a
	// <disk type='volume'>, whose Pool and Volume name it.
	Path string
	// Pool and Volume are the storage pool and the volume in it of a
	// <disk type='volume'>, else "".
	Pool, Volume string
	// Block says that Path is a block device (<disk type='block'>).
	Block bool
	// COW says that Path is a UML copy-on-write file
	// (<driver type='cow'/>); Backing is the <backingStore> path or "".
	COW     bool
	Backing string
	// FormatGiven says that <driver> names the format. Without, it is raw.
	FormatGiven bool
	// ReadOnly and Shareable are <readonly/> and <shareable/>.
	ReadOnly, Shareable bool
	// Sync asks for O_SYNC (cache='writethrough' or 'directsync').
	Sync bool
	// NoDiscard is discard='ignore'.
	NoDiscard bool
	Serial    string
}

// Chardev is one <console> or <serial>.
type Chardev struct {
	// Serial tells <serial> (ssl lines) from <console> (con lines).
	Serial bool
	// Port is <target port>: the N of conN or sslN.
	Port int
	// Alias is libvirt's name for it in the live XML ("console0", "serial3").
	Alias string
	// Type is the source's type.
	Type ChardevType
	// Path is the source of file, dev and unix.
	Path string
	// Append keeps a file's old content.
	Append bool
	// Host and Service are the address that a tcp source listens on.
	Host, Service string
	// LogFile is <log file>; LogAppend its append='on'.
	LogFile   string
	LogAppend bool
	// Duplicate marks a <console> of target type serial, libvirt's second
	// view of a <serial>: one line of the guest shown twice. Its fields are
	// that line's, Serial included.
	Duplicate bool
}

// Line is the kernel's name of the device, such as "con0" or "ssl3".
func (c Chardev) Line() string { return lineName(c.Serial, c.Port) }

// ChardevType is the type attribute of a <console> or <serial>.
type ChardevType string

// The source types that a UML guest can be given.
const (
	ChardevPTY   ChardevType = "pty"
	ChardevNull  ChardevType = "null"
	ChardevFile  ChardevType = "file"
	ChardevDev   ChardevType = "dev"
	ChardevTCP   ChardevType = "tcp"
	ChardevUnix  ChardevType = "unix"
	ChardevStdio ChardevType = "stdio"
)

// Filesystem is one <filesystem type='mount'>: a host folder that the guest
// may mount with hostfs.
type Filesystem struct {
	// Source is the host folder, Target the name that the guest mounts; "/"
	// makes it the root filesystem.
	Source, Target string
	ReadOnly       bool
	Alias          string
}
