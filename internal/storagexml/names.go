package storagexml

import (
	"path/filepath"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const (
	// nameMax is Linux's longest file name in bytes (limits.h, NAME_MAX).
	nameMax = 255
	// pathMax is Linux's longest path in bytes, without its NUL.
	pathMax = 4095
)

// checkPoolName refuses names that a pool cannot have, as NAME.xml is a file.
func checkPoolName(name string) error {
	switch {
	case name == "":
		return invalid("missing pool source name element")
	case strings.Contains(name, "/"):
		return invalid("name %s cannot contain '/'", name)
	}
	return checkFileName("pool", name, nameMax-len(".xml"))
}

// checkVolumeName refuses names that cannot be those of a file in a folder.
func checkVolumeName(name string) error {
	switch {
	case name == "":
		return invalid("missing volume name element")
	case strings.Contains(name, "/"):
		return virerr.In(virerr.Storage, libvirt.ErrOperationInvalid, "volume name '%s' cannot contain '/'", name)
	}
	return checkFileName("volume", name, nameMax)
}

// checkFileName refuses what no file name can be, and control characters:
// libvirt does not take in a folder's files that have any.
func checkFileName(what, name string, longest int) error {
	switch {
	case name == "." || name == "..":
		return invalid("%s name '%s' is that of a folder, choose another", what, name)
	case strings.ContainsFunc(name, isControl):
		return virerr.In(virerr.XML, libvirt.ErrXMLDetail, "invalid char in name: %q", name)
	case len(name) > longest:
		return invalid("%s name '%s...' is %d bytes long, at most %d are allowed",
			what, strings.ToValidUTF8(name[:32], ""), len(name), longest)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// cleanTarget checks a pool's folder and returns it without what does not
// count.
func cleanTarget(path string) (string, error) {
	switch {
	case path == "":
		return "", invalid("missing storage pool target path")
	case len(path) > pathMax:
		return "", invalid("storage pool target path is %d bytes long, at most %d are allowed", len(path), pathMax)
	case strings.Contains(path, "\x00"):
		return "", invalid("storage pool target path %q holds a zero byte", path)
	case !filepath.IsAbs(path):
		return "", invalid("storage pool target path '%s' is not absolute", path)
	}
	return filepath.Clean(path), nil
}
