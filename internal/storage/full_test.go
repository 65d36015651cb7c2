package storage_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
)

// smallDisk is a disk of 4 MiB: a tmpfs where that can be mounted, or else a
// limit on the length of the files that this process writes.
func smallDisk(t *testing.T) (dir string, errno syscall.Errno) {
	t.Helper()
	dir = t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m")
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		return dir, syscall.ENOSPC
	}
	if !errors.Is(err, syscall.EPERM) {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: old.Max}))
	t.Cleanup(func() { must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) })
	return dir, syscall.EFBIG
}

// On a full disk nothing partial is left, and the error says so.
func TestFullDisk(t *testing.T) {
	i, ctx := open(t), t.Context()
	large := i.pool("large")
	i.fill(large, "base", bytes.Repeat([]byte("x"), 8<<20))
	i.create(large, over("changes", filepath.Join(i.dir, "large", "base")))
	small, errno := smallDisk(t)
	target := filepath.Join(small, "pool")
	spec := i.poolAt("small", target)
	kept := i.fill(spec, "kept", bytes.Repeat([]byte("k"), 1<<20))
	allocated := &storagexml.Volume{Name: "x", Capacity: 16 << 20, HasCapacity: true}

	for name, do := range map[string]func() error{
		"create": func() error {
			_, err := i.CreateVolume(ctx, spec, allocated, storage.CreateOptions{})
			return err
		},
		"clone": func() error {
			_, err := i.CloneVolume(ctx, spec, raw("x", 0), large, "base", storage.CreateOptions{})
			return err
		},
		"clone of a clone": func() error {
			_, err := i.CloneVolume(ctx, spec, raw("x", 0), large, "changes", storage.CreateOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := do()
			refused(t, err, libvirt.ErrSystemError, errno.Error())
			if !errors.Is(err, errno) {
				t.Errorf("error %v is not %v", err, errno)
			}
			equal(t, "files", entries(t, target), "kept")
			equal(t, "volumes", i.names(spec), "kept")
		})
	}
	t.Run("upload", func(t *testing.T) {
		u, err := i.Upload(ctx, spec, "kept", 0, 0)
		must(t, err)
		chunk := make([]byte, 256<<10)
		for err == nil {
			_, err = u.Write(chunk)
		}
		refused(t, err, libvirt.ErrSystemError, "Unable to write "+kept.Path+": "+errno.Error())
		must(t, u.Close())
		must(t, i.DeleteVolume(ctx, spec, "kept"))
		equal(t, "files", entries(t, target), "")
	})
	t.Run("resize", func(t *testing.T) {
		v := i.fill(spec, "disk", make([]byte, 1<<20))
		if err := i.ResizeVolume(ctx, spec, "disk", 16<<20, true, false); err == nil {
			t.Error("a disk of 4 MiB took 16")
		}
		info, err := os.Stat(v.Path)
		must(t, err)
		equal(t, "length", info.Size(), 1<<20)
	})
}
