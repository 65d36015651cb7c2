package domxml

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// setDefaults completes d as libvirt does after parsing: it removes what only
// a running guest has and fills in what is implied, so that the text that is
// stored means the same to every later version.
func setDefaults(d *document) error {
	if d.Devices == nil {
		d.Devices = &lx.DomainDeviceList{}
	}
	if d.Clock == nil {
		d.Clock = &lx.DomainClock{Offset: "utc"}
	}
	if d.VCPU == nil {
		d.VCPU = &lx.DomainVCPU{Value: 1}
	}
	if d.VCPU.Placement == "" {
		d.VCPU.Placement = "static"
	}
	if d.OS.Type.Arch == "" {
		d.OS.Type.Arch = "x86_64"
	}
	setDefault(&d.OnPoweroff, string(ActionDestroy))
	setDefault(&d.OnReboot, string(ActionRestart))
	setDefault(&d.OnCrash, string(ActionDestroy))
	if d.UUID == "" {
		d.UUID = uuid.NewString()
	}
	dropLiveParts(d.Devices)
	for i := range d.Devices.Disks {
		setDiskDefaults(&d.Devices.Disks[i])
	}
	for i := range d.Devices.Filesystems {
		setFilesystemDefaults(&d.Devices.Filesystems[i])
	}
	setInterfaceDefaults(d.Devices.Interfaces)
	setChardevDefaults(d.Devices)
	return setMemoryDefaults(d)
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// dropLiveParts removes what libvirt shows of a running guest only: ptys,
// generated device names and aliases, all but the user's own ("ua-...").
func dropLiveParts(d *lx.DomainDeviceList) {
	for i := range d.Disks {
		d.Disks[i].Alias = userAlias(d.Disks[i].Alias)
		d.Disks[i].Mirror = nil
	}
	for i := range d.Filesystems {
		d.Filesystems[i].Alias = userAlias(d.Filesystems[i].Alias)
	}
	for i := range d.Interfaces {
		dropInterfaceLive(&d.Interfaces[i])
	}
	for i := range d.Serials {
		s := &d.Serials[i]
		s.Alias = userAlias(s.Alias)
		dropPTY(s.Source)
	}
	for i := range d.Consoles {
		c := &d.Consoles[i]
		c.Alias = userAlias(c.Alias)
		c.TTY = ""
		dropPTY(c.Source)
	}
}

func dropPTY(source *lx.DomainChardevSource) {
	if source != nil && source.Pty != nil {
		source.Pty.Path = ""
	}
}

// userAlias keeps an alias that the user has chosen.
func userAlias(a *lx.DomainAlias) *lx.DomainAlias {
	if a == nil || !strings.HasPrefix(a.Name, "ua-") {
		return nil
	}
	return a
}

// setMemoryDefaults brings both sizes to KiB and currentMemory to at most
// memory.
func setMemoryDefaults(d *document) error {
	maximum, err := toKiB("memory", uint64(d.Memory.Value), d.Memory.Unit)
	if err != nil {
		return err
	}
	d.Memory.Value, d.Memory.Unit = uint(maximum), "KiB"
	if d.CurrentMemory == nil {
		d.CurrentMemory = &lx.DomainCurrentMemory{}
	}
	current, err := toKiB("currentMemory", uint64(d.CurrentMemory.Value), d.CurrentMemory.Unit)
	if err != nil {
		return err
	}
	if current == 0 || current > maximum {
		current = maximum
	}
	d.CurrentMemory.Value, d.CurrentMemory.Unit = uint(current), "KiB"
	return nil
}

// randomMAC makes an address with the prefix that libvirt gives to guests of
// QEMU, which no driver has claimed since (src/conf/domain_conf.c).
func randomMAC() string {
	var tail [3]byte
	rand.Read(tail[:]) // never fails (crypto/rand)
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", tail[0], tail[1], tail[2])
}

// uuidFiller drops what may stand between a uuid's digits.
var uuidFiller = strings.NewReplacer("-", "", " ", "")

// readUUID takes the uuid in any of libvirt's spellings: 32 hexadecimal
// digits with dashes and spaces anywhere between them.
func readUUID(d *document, def *Definition) error {
	digits := uuidFiller.Replace(strings.TrimSpace(d.UUID))
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(def.UUID) {
		return virerr.New(libvirt.ErrInternalError, "malformed uuid element")
	}
	copy(def.UUID[:], raw)
	d.UUID = def.UUID.String()
	return nil
}

func readMemory(d *document, def *Definition) error {
	def.MaxMemory = uint64(d.Memory.Value)
	def.CurrentMemory = uint64(d.CurrentMemory.Value)
	if def.MaxMemory <= minMemoryKiB {
		return unsupported("element <memory>: %d KiB are too few for a User Mode Linux kernel, which needs more than %d KiB",
			def.MaxMemory, minMemoryKiB)
	}
	return nil
}

// maxVCPUs is the most that any kernel can be built for (arch/um/Kconfig,
// NR_CPUS).
const maxVCPUs = 64

func readVCPUs(d *document, def *Definition) error {
	v := d.VCPU
	def.VCPUs, def.VCPUsCurrent = v.Value, v.Current
	if def.VCPUsCurrent == 0 {
		def.VCPUsCurrent = def.VCPUs
	}
	switch {
	case v.Value == 0:
		return virerr.New(libvirt.ErrConfigUnsupported, "domain config can't have 0 maximum vCPUs")
	case v.Current > v.Value:
		return virerr.New(libvirt.ErrConfigUnsupported, "maximum vCPU count must not be less than current vCPU count")
	case v.Value > maxVCPUs:
		return unsupported("element <vcpu>: %d vCPUs are too many, User Mode Linux kernels have at most %d", v.Value, maxVCPUs)
	case v.CPUSet != "":
		return unsupported("element <vcpu>: cpuset='%s': pinning to host CPUs is not available", v.CPUSet)
	}
	return nil
}

// readActions takes the lifecycle actions.
func readActions(d *document, def *Definition) error {
	for _, a := range []struct {
		element string
		value   string
		to      *Action
	}{
		{"on_poweroff", d.OnPoweroff, &def.OnPoweroff},
		{"on_reboot", d.OnReboot, &def.OnReboot},
		{"on_crash", d.OnCrash, &def.OnCrash},
	} {
		action, err := readAction(a.element, a.value)
		if err != nil {
			return err
		}
		*a.to = action
	}
	return nil
}

func readAction(element, value string) (Action, error) {
	switch a := Action(value); a {
	case ActionDestroy:
		return ActionDestroy, nil
	case ActionRestart:
		return ActionRestart, nil
	case ActionPreserve:
		return ActionPreserve, nil
	case "rename-restart", "coredump-destroy", "coredump-restart":
		return "", unsupported("element <%s>: action '%s' is not available, use destroy, restart or preserve", element, a)
	}
	return "", virerr.New(libvirt.ErrConfigUnsupported, "unknown %s action: %s", element, value)
}
