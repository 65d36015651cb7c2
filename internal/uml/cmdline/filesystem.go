package cmdline

import (
	"strings"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
)

// filesystems puts each shared folder below the one folder to which hostfs is
// confined: the guest mounts TARGET by
//
//	mount -t hostfs none /mnt -o /share/TARGET
//
// A guest without any finds an empty place there.
func (b *builder) filesystems() error {
	if !b.caps.Hostfs {
		if len(b.def.Filesystems) > 0 {
			return unsupported("<filesystem> %s: the kernel %s has no hostfs (CONFIG_HOSTFS)", b.def.Filesystems[0].Target, b.caps.Path)
		}
		return nil
	}
	b.arg("hostfs=", supervisor.Root, hostfsPath)
	var names []string
	for _, fs := range b.def.Filesystems {
		name, err := shareName(fs)
		if err != nil {
			return err
		}
		for _, other := range names {
			if nested(name, other) {
				return unsupported("<filesystem>: the targets %s and %s lie within each other", strings.TrimPrefix(other, shares), fs.Target)
			}
		}
		names = append(names, name)
		b.line.Files = append(b.line.Files, supervisor.File{Host: fs.Source, Guest: hostfsPath + name, ReadOnly: fs.ReadOnly})
	}
	return nil
}

// shareName is the folder as hostfs names it. The target's own slashes stay,
// so that the usual absolute targets work; everything that a mount option or
// the kernel would read as something else is refused.
func shareName(fs domxml.Filesystem) (string, error) {
	if fs.Target == "/" {
		return rootShare, nil
	}
	target := strings.TrimPrefix(fs.Target, "/")
	for part := range strings.SplitSeq(target, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, unsafe) {
			return "", unsupported("<filesystem>: the target %q may hold letters, digits, '.', '_', '-' and single slashes alone", fs.Target)
		}
	}
	return shares + "/" + target, nil
}

func unsafe(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		return false
	default:
		return true
	}
}

func nested(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
