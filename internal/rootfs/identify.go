package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"virtumld/internal/imgformat"
)

// Identify says what source is: by its content, or, where there is no such
// file, by its look as the name of an image in a registry. Disk images that
// are of no use are an error that says why.
func Identify(source string) (Kind, error) {
	if strings.HasPrefix(source, registryScheme) {
		return Registry, nil
	}
	info, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !looksLikePath(source):
		return Registry, nil
	case err != nil:
		return "", err
	case info.IsDir():
		if isFile(filepath.Join(source, "oci-layout")) && isFile(filepath.Join(source, "index.json")) {
			return OCI, nil
		}
		return Folder, nil
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is neither a file nor a folder", source)
	}
	f, err := os.Open(source)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	kind, err := identifyFile(f, info.Size())
	if err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	return kind, nil
}

// looksLikePath tells a file's name from a registry's reference.
func looksLikePath(source string) bool {
	return strings.HasPrefix(source, "/") || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") ||
		regexp.MustCompile(`\.(tar|t?gz|t?xz|t?bz2|zst|img|raw|qcow2)$`).MatchString(source)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// file is what identifyFile reads.
type file interface {
	io.Reader
	io.ReaderAt
}

func identifyFile(f file, size int64) (Kind, error) {
	start := make([]byte, 8)
	n, err := f.ReadAt(start, 0)
	if n == 0 {
		return "", fmt.Errorf("it is empty: %w", err)
	}
	if !isCompressed(start) {
		image, err := imgformat.Detect(f, size)
		switch {
		case err != nil:
			return "", err
		case image.Format == imgformat.QCOW2:
			return QCOW2, nil
		case image.Format != imgformat.Raw:
			return "", unusable(image.Format)
		case isDisk(f):
			return Raw, nil
		}
	}
	r, err := decompress(f)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	h, err := tar.NewReader(r).Next()
	switch {
	case err == nil && archiveStart.MatchString(h.Name):
		return DockerArchive, nil
	case err == nil:
		return Tar, nil
	case errors.Is(err, errWindow):
		return "", err
	case isCompressed(start):
		return "", errors.New("what is compressed in it is no tar archive; unpack a compressed disk image first")
	}
	return "", errors.New("neither an archive nor a disk image with a filesystem or partitions; --format says what it is")
}

// unusable is an error for a disk image that is neither raw nor qcow2.
func unusable(f imgformat.Format) error {
	if err := imgformat.Usable(f); err != nil {
		return err
	}
	return fmt.Errorf("an image of the format %s is one guest's changes to another image; import that other image", f)
}

// archiveStart are the first names in archives that "docker save", "podman
// save" and their like write.
var archiveStart = regexp.MustCompile(`^(blobs/|sha256:|[0-9a-f]{64}[./]|manifest\.json$|oci-layout$|index\.json$|repositories$)`)

// isDisk tells if there is a partition table or a filesystem that guests
// have: MBR and GPT, ext2 to ext4, XFS, btrfs, squashfs.
func isDisk(r io.ReaderAt) bool {
	for _, m := range []struct {
		at    int64
		magic string
	}{
		{510, "\x55\xaa"}, {512, "EFI PART"}, {1080, "\x53\xef"}, {0, "XFSB"}, {0x10040, "_BHRfS_M"}, {0, "hsqs"},
	} {
		have := make([]byte, len(m.magic))
		if n, _ := r.ReadAt(have, m.at); n == len(have) && string(have) == m.magic {
			return true
		}
	}
	return false
}
