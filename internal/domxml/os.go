package domxml

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// osTypes are libvirt's values of <os><type> (src/conf/domain_conf.c,
// virDomainOS).
var osTypes = map[string]bool{"hvm": true, "xen": true, "linux": true, "exe": true, "uml": true, "xenpvh": true}

// maxCmdline is the kernel's own limit, COMMAND_LINE_SIZE, without the NUL
// (arch/um/include/asm/setup.h).
const maxCmdline = 4095

func readOS(d *document, def *Definition) error {
	o := d.OS
	switch {
	case !osTypes[o.Type.Type]:
		return virerr.New(libvirt.ErrConfigUnsupported, "unknown OS type '%s'", o.Type.Type)
	case o.Type.Type != "uml":
		return unsupported("element <os/type>: type '%s' is not available, use 'uml'", o.Type.Type)
	case o.Type.Arch != "x86_64" && o.Type.Arch != "i686":
		return unsupported("element <os/type>: arch='%s' is not available, User Mode Linux runs on x86_64 and i686", o.Type.Arch)
	}
	err := refuse("os/", []refusal{
		{"type machine", o.Type.Machine != "", "there is one kind of machine"},
		{"firmware", o.Firmware != "" || o.FirmwareInfo != nil, "use <kernel>"},
		{"loader", o.Loader != nil, "use <kernel>"},
		{"nvram", o.NVRam != nil, ""},
		{"varstore", o.VarStore != nil, ""},
		{"dtb", o.DTB != "", ""},
		{"shim", o.Shim != "", ""},
		{"acpi", o.ACPI != nil, ""},
		{"bios", o.BIOS != nil, ""},
		{"smbios", o.SMBios != nil, ""},
		{"bootmenu", o.BootMenu != nil && o.BootMenu.Enable != "no", "use <kernel>"},
		{"init", o.Init != "" || len(o.InitArgs) != 0 || len(o.InitEnv) != 0 || o.InitDir != "" || o.InitUser != "" || o.InitGroup != "", "use init= in <cmdline>"},
	})
	if err != nil {
		return err
	}
	def.OS = OS{Kernel: o.Kernel, Initrd: o.Initrd, Cmdline: o.Cmdline, Root: o.Root}
	return checkOS(def.OS)
}

func checkOS(o OS) error {
	for _, p := range []struct{ element, path string }{{"os/kernel", o.Kernel}, {"os/initrd", o.Initrd}} {
		if p.path == "" {
			continue
		}
		if err := checkPath("element <"+p.element+">", p.path); err != nil {
			return err
		}
	}
	switch {
	case strings.ContainsAny(o.Cmdline, "\n\r"):
		return invalid("element <os/cmdline>: a kernel's command line has one line")
	case len(o.Cmdline) > maxCmdline:
		return invalid("element <os/cmdline>: %d bytes are too many, the kernel takes %d", len(o.Cmdline), maxCmdline)
	case strings.ContainsAny(o.Root, " \t\r\n\"'"):
		return invalid("element <os/root>: '%s' is not a device", o.Root)
	}
	return nil
}

// checkPath refuses paths that do not name one file whatever the working
// directory is. Any other character is fine: the kernel's command line names
// files by aliases.
func checkPath(where, path string) error {
	switch {
	case strings.ContainsAny(path, "\n\r\x00"):
		return invalid("%s: path %q has a line break", where, path)
	case !strings.HasPrefix(path, "/"):
		return invalid("%s: path '%s' is not absolute", where, path)
	}
	return nil
}
