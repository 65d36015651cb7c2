package domxml

import (
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

func setFilesystemDefaults(f *lx.DomainFilesystem) {
	setDefault(&f.AccessMode, "passthrough")
}

func readFilesystems(d *document, def *Definition) error {
	targets := map[string]bool{}
	for i := range d.Devices.Filesystems {
		f, err := readFilesystem(&d.Devices.Filesystems[i])
		if err != nil {
			return err
		}
		if targets[f.Target] {
			return invalid("target '%s' duplicated for filesystems", f.Target)
		}
		targets[f.Target] = true
		if f.Alias == "" {
			f.Alias = "fs" + strconv.Itoa(i)
		}
		def.Filesystems = append(def.Filesystems, f)
	}
	if targets["/"] && def.OS.Root != "" {
		return unsupported("the root filesystem is given twice: by element <os/root> '%s' and by the filesystem with target '/'", def.OS.Root)
	}
	return nil
}

// readFilesystem takes one <filesystem>.
func readFilesystem(f *lx.DomainFilesystem) (Filesystem, error) {
	if f.Source == nil || f.Source.Mount == nil {
		return Filesystem{}, unsupported("element <devices/filesystem>: only type='mount' is available")
	}
	source := f.Source.Mount.Dir
	if f.Target == nil || f.Target.Dir == "" {
		return Filesystem{}, virerr.New(libvirt.ErrNoTarget, "%s", source)
	}
	target := f.Target.Dir
	where := "filesystem '" + target + "'"
	if source == "" {
		return Filesystem{}, virerr.New(libvirt.ErrNoSource, "%s", target)
	}
	if err := checkPath(where, source); err != nil {
		return Filesystem{}, err
	}
	if strings.ContainsAny(target, "\n\r") {
		return Filesystem{}, invalid("%s: the target has a line break", where)
	}
	err := refuseIn(where, []refusal{
		{"filesystem accessmode", f.AccessMode != "passthrough", "use accessmode='passthrough'"},
		{"driver", f.Driver != nil && f.Driver.Type != "" && f.Driver.Type != "path", "shares are hostfs"},
		{"binary", f.Binary != nil, "shares are hostfs"},
		{"idmap", f.IDMap != nil, ""},
		{"space_hard_limit", f.SpaceHardLimit != nil, ""},
		{"space_soft_limit", f.SpaceSoftLimit != nil, ""},
		{"source socket", f.Source.Mount.Socket != "", "shares are hostfs"},
	})
	if err != nil {
		return Filesystem{}, err
	}
	share := Filesystem{Source: source, Target: target, ReadOnly: f.ReadOnly != nil}
	if f.Alias != nil {
		share.Alias = f.Alias.Name
	}
	return share, nil
}
