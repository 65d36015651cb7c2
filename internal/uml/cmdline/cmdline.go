// Package cmdline turns a domain's definition into a UML kernel's command
// line, with the files and channels that it names. It is a pure function of
// the definition, of what the kernel can do, and of a few paths: it opens
// nothing and starts nothing.
//
// Files appear on the command line under safe names of their own (/disk0,
// /initrd), because the kernel's syntax has no quoting for a comma or a colon
// in a path. Console and serial lines are descriptors: Channels[i] is
// descriptor 3+i.
package cmdline

import (
	"fmt"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/kernel"
	"virtumld/internal/virerr"
)

const (
	// maxLength is COMMAND_LINE_SIZE less its NUL (arch/um/include/asm/setup.h),
	// in bytes: a kernel that is given more exits before its first message.
	maxLength = 4096 - 1
	// rootReserve is the room left for what replaces each supervisor.Root,
	// in bytes.
	rootReserve = 16
	// MinMemory is the least <memory>, in KiB. With less, a kernel ends at
	// once or deadlocks on memory before its init runs.
	MinMemory = 32 * 1024
	// pageSize is the guest's page in KiB, of which memory is a multiple.
	pageSize = 4
	// maxMemory keeps the guest's memory within an address space, in KiB.
	maxMemory = 1 << 36
)

// The guest's names of its files.
const (
	initrdPath = "/initrd"
	hostfsPath = "/hostfs" // every hostfs mount is below it
	rootShare  = "/root"   // the root filesystem, as hostfs names it
	shares     = "/share"  // the other filesystems, as hostfs names them
)

// Options are what the definition does not say.
type Options struct {
	// UMID is the guest's umid.
	UMID string
	// Backing maps the unit of each COW disk to the backing file's path as
	// the COW file's header has it (package cow). A unit that is missing
	// has the path of its <backingStore>.
	Backing map[int]string
}

// Line is a kernel's command line and what it refers to.
type Line struct {
	// Args are the arguments, argv[0] apart, in the form of
	// supervisor.Spec.Args.
	Args []string
	// Files are what the arguments name.
	Files []supervisor.File
	// Disks are the ubd devices. A kernel that has ubd always gets a ubd0.
	Disks []supervisor.Disk
	// Channels are the console and serial lines, con0 always first. A con0
	// that the definition lacks, or gives the type null, is a channel of
	// type ChardevNull: the supervisor reads it, so that it sees how the
	// guest ends ("reboot: ..."), and shows it to nobody.
	Channels []supervisor.Channel
	// Devices are what the kernel is told of its interfaces, in the order
	// of the definition and in the form of supervisor.Interface.Device. It
	// is "" of those of type vhostuser, which are among Args and Virtio.
	Devices []string
	// Virtio are the virtio devices that Args name.
	Virtio []supervisor.VirtioDevice
}

// Build makes the command line of def for a kernel of the given capabilities.
// Its errors are virerr's: ErrConfigUnsupported names the element that this
// kernel cannot serve.
func Build(def *domxml.Definition, caps *kernel.Caps, options Options) (*Line, error) {
	b := &builder{def: def, caps: caps, options: options}
	steps := []func() error{b.machine, b.lines, b.disks, b.filesystems, b.interfaces, b.boot, b.userWords, b.checkLength}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &b.line, nil
}

// Check refuses what this kernel cannot do for def. It needs no paths, so it
// serves a definition whose files do not exist yet.
func Check(def *domxml.Definition, caps *kernel.Caps) error {
	backing := make(map[int]string)
	for _, disk := range def.Disks {
		if disk.COW {
			backing[disk.Unit] = "/backing"
		}
	}
	_, err := Build(def, caps, Options{UMID: def.UUID.String(), Backing: backing})
	return err
}

type builder struct {
	def     *domxml.Definition
	caps    *kernel.Caps
	options Options
	line    Line
}

func (b *builder) arg(words ...string) {
	b.line.Args = append(b.line.Args, strings.Join(words, ""))
}

// machine is memory, processors and the management console.
func (b *builder) machine() error {
	switch {
	case b.def.MaxMemory > maxMemory:
		return unsupported("<memory> of %d KiB is more than a kernel can address", b.def.MaxMemory)
	case b.def.MaxMemory < MinMemory:
		return unsupported("<memory> of %d KiB is too little for a User Mode Linux kernel, which needs at least %d KiB", b.def.MaxMemory, MinMemory)
	}
	pages := (b.def.MaxMemory + pageSize - 1) / pageSize
	b.arg("mem=", strconv.FormatUint(pages*pageSize, 10), "K")
	b.arg("umid=", b.options.UMID)
	b.arg("uml_dir=", supervisor.Root, supervisor.GuestUMLDir)
	if b.caps.Mconsole {
		b.arg("mconsole=notify:", supervisor.Root, supervisor.GuestNotify)
	}
	if b.caps.NoRebootOption {
		b.arg("noreboot")
	}
	return b.processors()
}

// processors gives more than one virtual CPU. Kernels have them with seccomp
// alone: with ptrace they refuse to boot.
func (b *builder) processors() error {
	switch n := b.def.VCPUs; {
	case n <= 1:
		return nil
	case !b.caps.SMP:
		return unsupported("<vcpu> %d: the kernel %s is not built for more than one processor (CONFIG_SMP, since 6.19)", n, b.caps.Path)
	case n > uint(b.caps.NrCPUs):
		return unsupported("<vcpu> %d: the kernel %s takes at most %d (CONFIG_NR_CPUS)", n, b.caps.Path, b.caps.NrCPUs)
	case !b.caps.SeccompOption:
		return unsupported("<vcpu> %d: the kernel %s lacks the seccomp mode that this needs", n, b.caps.Path)
	default:
		b.arg("seccomp=on")
		b.arg("ncpus=", strconv.FormatUint(uint64(n), 10))
		return nil
	}
}

// checkLength counts every argument, though the kernel takes some out.
func (b *builder) checkLength() error {
	args := b.line.Args
	for _, disk := range b.line.Disks {
		args = append(args, disk.Arg)
	}
	for i, device := range b.line.Devices {
		args = append(args, fmt.Sprintf("vec%d:%s", b.def.Interfaces[i].Unit, device))
	}
	line := strings.Join(args, " ")
	n := len(line) + rootReserve*strings.Count(line, supervisor.Root)
	if n > maxLength {
		return unsupported("<cmdline>: the kernel's command line would have %d bytes, more than %d; shorten it by %d", n, maxLength, n-maxLength)
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported, format, args...)
}
