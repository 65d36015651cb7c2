package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folder is a folder on this host.
type folder struct {
	root   *os.Root
	prefix string // in the guest, "" for its root
	o      Options
	links  map[inode]string
	read   int64
}

// inode identifies a file on this host.
type inode struct{ device, number uint64 }

func openFolder(path string, o Options) (Source, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, o: o, links: map[inode]string{}}, nil
}

// OpenFolderAt is a folder that appears at prefix in the guest, whose owner is
// root throughout.
func OpenFolderAt(path, prefix string) (Source, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, prefix: prefix, links: map[inode]string{}}, nil
}

func (f *folder) Metadata() Metadata { return Metadata{} }
func (f *folder) Close() error       { return f.root.Close() }

// Copy walks through the folder; no symbolic link is followed.
func (f *folder) Copy(ctx context.Context, to Sink) error {
	return fs.WalkDir(f.root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return f.copy(ctx, name, to)
	})
}

func (f *folder) copy(ctx context.Context, name string, to Sink) error {
	info, err := f.root.Lstat(name)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no owner is known", name)
	}
	h := f.header(path.Join(f.prefix, name), st)
	if h.Typeflag == 0 {
		return nil // a socket, which is nothing without its program
	}
	if h.Typeflag == tar.TypeSymlink {
		if h.Linkname, err = f.root.Readlink(name); err != nil {
			return err
		}
	}
	if st.Nlink > 1 && h.Typeflag != tar.TypeDir {
		if first, known := f.links[inode{st.Dev, st.Ino}]; known {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return to.Add(h, nil)
		}
		f.links[inode{st.Dev, st.Ino}] = h.Name
	}
	if h.PAXRecords, err = xattrsOf(filepath.Join(f.root.Name(), name)); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return to.Add(h, nil)
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	before := f.read
	f.read += h.Size
	o := f.o
	if tell := o.Progress; tell != nil {
		o.Progress = func(done, _ int64) { tell(before+done, 0) }
	}
	return to.Add(h, o.counted(reader{ctx, io.LimitReader(file, h.Size)}, 0))
}

// header is st as a tar entry.
func (f *folder) header(name string, st *syscall.Stat_t) *tar.Header {
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777),
		Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime:    time.Unix(st.Mtim.Unix()),
		AccessTime: time.Unix(st.Atim.Unix()),
		ChangeTime: time.Unix(st.Ctim.Unix()),
	}
	if me := os.Geteuid(); me != 0 && !f.o.KeepOwners && h.Uid == me {
		h.Uid = 0
		if h.Gid == os.Getegid() {
			h.Gid = 0
		}
	}
	if f.prefix != "" {
		h.Uid, h.Gid = 0, 0
	}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case syscall.S_IFDIR:
		h.Typeflag = tar.TypeDir
	case syscall.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
	case syscall.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case syscall.S_IFCHR, syscall.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&syscall.S_IFMT == syscall.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		h.Typeflag = 0
	}
	return h
}

// xattrsOf are the extended attributes as PAX records; those of the host's
// security modules are left out.
func xattrsOf(path string) (map[string]string, error) {
	names := make([]byte, 64<<10) // the most that Linux lists
	n, err := unix.Llistxattr(path, names)
	if n == 0 || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	records := map[string]string{}
	value := make([]byte, 64<<10) // and the longest value
	for name := range bytes.SplitSeq(bytes.TrimRight(names[:n], "\x00"), []byte{0}) {
		if strings.HasPrefix(string(name), "security.") && string(name) != "security.capability" {
			continue
		}
		n, err := unix.Lgetxattr(path, string(name), value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "lgetxattr " + string(name), Path: path, Err: err}
		}
		records["SCHILY.xattr."+string(name)] = string(value[:n])
	}
	return records, nil
}
