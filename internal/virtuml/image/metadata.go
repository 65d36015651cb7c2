package image

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"virtumld/internal/ext4img"
	"virtumld/internal/rootfs"
)

// maxMetadata bounds the metadata, which the guest could have made any size.
const maxMetadata = 1 << 20

// readMetadata reads the metadata out of an image's filesystem, where a guest
// may have written anything.
func readMetadata(path string) (m rootfs.Metadata, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return m, err
	}
	if !info.Mode().IsRegular() {
		return m, fmt.Errorf("%s is not a file", path)
	}
	text, err := ext4img.ReadFile(f, rootfs.MetadataPath, maxMetadata)
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(text, &m)
	return m, err
}
