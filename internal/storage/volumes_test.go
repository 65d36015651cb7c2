package storage_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/filelock"
	"virtumld/internal/imgformat"
	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
)

func TestCreateRaw(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	sparse := i.create(spec, raw("sparse", 10<<30))
	if sparse.Capacity != 10<<30 || sparse.Allocation > 1<<20 || sparse.Format != imgformat.Raw || sparse.Type != 0 ||
		sparse.Path != filepath.Join(i.dir, "p", "sparse") || sparse.Key != sparse.Path || *sparse.Perms.Mode != 0o600 || sparse.Pool != "p" {
		t.Errorf("a sparse volume is %+v", sparse.Volume)
	}
	// Without an allocation the volume is allocated, as libvirt documents.
	full := i.create(spec, &storagexml.Volume{Name: "full", Capacity: 3 << 20, HasCapacity: true})
	if full.Capacity != 3<<20 || full.Allocation < 3<<20 {
		t.Errorf("an allocated volume is %+v", full.Volume)
	}
	empty := i.create(spec, raw("empty", 0))
	equal(t, "capacity", empty.Capacity, 0)
	view, err := i.Pool(spec)
	must(t, err)
	equal(t, "number of volumes", view.Volumes, 3)
	equal(t, "volumes", i.names(spec), "empty full sparse")
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "empty full sparse")
}

func TestPermissions(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	mode, uid, gid := uint32(0o640), os.Getuid(), os.Getgid()
	def := raw("disk", 4096)
	def.Perms = storagexml.Permissions{Mode: &mode, Owner: &uid, Group: &gid}
	v := i.create(spec, def)
	if *v.Perms.Mode != mode || *v.Perms.Owner != uid || *v.Perms.Group != gid {
		t.Errorf("permissions %o %d %d", *v.Perms.Mode, *v.Perms.Owner, *v.Perms.Group)
	}
	stranger := 12345
	def = raw("theirs", 4096)
	def.Perms.Owner = &stranger
	v, err := i.CreateVolume(ctx, spec, def, storage.CreateOptions{})
	if os.Getuid() == 0 {
		must(t, err)
		equal(t, "owner", *v.Perms.Owner, stranger)
		return
	}
	refused(t, err, libvirt.ErrSystemError, "cannot chown")
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "disk")
}

func TestCreateRefused(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	target := filepath.Join(i.dir, "p")
	i.create(spec, raw("taken", 0))
	must(t, os.WriteFile(filepath.Join(target, "unseen"), nil, 0o600))
	i.fill(spec, "base", make([]byte, 8192))
	i.fill(spec, "image.qcow2", append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1024)...))
	i.create(spec, over("chained", filepath.Join(target, "base")))
	must(t, unix.Mkfifo(filepath.Join(target, "fifo"), 0o600))
	before := entries(t, target)

	backed := raw("x", 1)
	backed.Backing = &storagexml.Backing{Path: filepath.Join(target, "base")}
	large := over("x", filepath.Join(target, "base"))
	large.Capacity = 8193
	for _, test := range []struct {
		name string
		def  *storagexml.Volume
		o    storage.CreateOptions
		code libvirt.ErrorNumber
		text string
	}{
		{"name taken", raw("taken", 1), storage.CreateOptions{}, libvirt.ErrStorageVolExist, "storage volume 'taken' exists already"},
		{"file there", raw("unseen", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "volume target path '" + target + "/unseen' already exists"},
		{"slash", raw("a/b", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "volume name 'a/b' cannot contain '/'"},
		{"up", raw("..", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "is not a file name"},
		{"absolute", raw("/etc/x", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "cannot contain '/'"},
		{"no name", raw("", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "is not a file name"},
		{"newline", raw("a\nb", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "cannot contain control characters"},
		{"NUL", raw("a\x00b", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "cannot contain control characters"},
		{"256 bytes", raw(strings.Repeat("x", 256), 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "longer than 255 bytes"},
		{"ours", raw(".virtumld-A.tmp", 1), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "is kept for files that are being made"},
		{"8 EiB", raw("x", 1<<63), storage.CreateOptions{}, libvirt.ErrInvalidArg, "a file has less than 8 EiB"},
		{"more than any disk", raw("x", 1<<63-1), storage.CreateOptions{}, libvirt.ErrSystemError, "cannot extend file"},
		{"raw, metadata", raw("x", 1), storage.CreateOptions{PreallocateMetadata: true}, libvirt.ErrConfigUnsupported, "metadata preallocation is not supported for raw volumes"},
		{"raw, backing", backed, storage.CreateOptions{}, libvirt.ErrNoSupport, "backing storage not supported for raw volumes"},
		{"qcow2", &storagexml.Volume{Name: "x", Format: imgformat.QCOW2}, storage.CreateOptions{}, libvirt.ErrConfigUnsupported, "qemu-img convert"},
		{"cow alone", &storagexml.Volume{Name: "x", Format: imgformat.COW}, storage.CreateOptions{}, libvirt.ErrConfigUnsupported, "needs a <backingStore>"},
		{"cow, no backing file", over("x", "/nowhere"), storage.CreateOptions{}, libvirt.ErrSystemError, "inaccessible backing store volume /nowhere"},
		{"cow over itself", over("x", filepath.Join(target, "x")), storage.CreateOptions{}, libvirt.ErrSystemError, "inaccessible backing store volume"},
		{"cow over cow", over("x", filepath.Join(target, "chained")), storage.CreateOptions{}, libvirt.ErrConfigUnsupported, "is itself a copy-on-write file"},
		{"cow over qcow2", over("x", filepath.Join(target, "image.qcow2")), storage.CreateOptions{}, libvirt.ErrConfigUnsupported, "qemu-img convert"},
		{"cow over a FIFO", over("x", filepath.Join(target, "fifo")), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "is not a regular file"},
		{"cow over a folder", over("x", target), storage.CreateOptions{}, libvirt.ErrOperationInvalid, "is not a regular file"},
		{"cow too large", large, storage.CreateOptions{}, libvirt.ErrInvalidArg, "capacity of 8193 bytes is more than the 8192"},
		{"cow, long path", over("x", "/"+strings.Repeat("./", 3000)+strings.Repeat("y/", 2100)), storage.CreateOptions{}, libvirt.ErrSystemError, "file name too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := i.CreateVolume(ctx, spec, test.def, test.o)
			refused(t, err, test.code, test.text)
			equal(t, "files", entries(t, target), before)
		})
	}
	view, err := i.Pool(spec)
	must(t, err)
	equal(t, "number of volumes", view.Volumes, 4)
}

func TestLongestName(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	name := strings.Repeat("x", 255)
	equal(t, "name", i.create(spec, raw(name, 1)).Name, name)
	must(t, i.RefreshPool(t.Context(), spec))
	equal(t, "volumes", i.names(spec), name)
}

func TestCreateCOW(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	base := i.create(spec, raw("base", 10<<30))
	def := over("clone", "base") // relative to the pool's folder
	def.Capacity = 1             // what is too small is the backing file's
	v := i.create(spec, def)
	if v.Format != imgformat.COW || v.Capacity != base.Capacity || v.Allocation > 2<<20 ||
		v.Backing == nil || v.Backing.Path != base.Path || v.Backing.Format != imgformat.Raw {
		t.Errorf("a clone is %+v, backing %+v", v.Volume, v.Backing)
	}
	header, err := cow.Open(v.Path)
	must(t, err)
	equal(t, "backing file in the header", header.Backing, base.Path)
}

func TestRefresh(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	target := filepath.Join(i.dir, "p")
	outside := filepath.Join(i.dir, "outside")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(target, "plain"), make([]byte, 5000), 0o600))
	must(t, os.WriteFile(filepath.Join(target, ".hidden"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(target, "new\nline"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(target, "folder"), 0o700))
	must(t, os.Symlink(outside, filepath.Join(target, "out")))
	must(t, os.Symlink("gone", filepath.Join(target, "dangling")))
	must(t, unix.Mkfifo(filepath.Join(target, "fifo"), 0o600))
	must(t, os.WriteFile(filepath.Join(target, ".virtumld-OLD.tmp"), nil, 0o600))
	// A COW file that names what it should not is listed like any other.
	f, err := os.Create(filepath.Join(target, "hostile"))
	must(t, err)
	info, err := os.Stat("/etc/passwd")
	must(t, err)
	must(t, cow.CreateFile(f, "/etc/passwd", info))
	must(t, f.Close())
	i.told()

	must(t, i.RefreshPool(t.Context(), spec))
	equal(t, "events", i.told(), "p refreshed")
	equal(t, "volumes", i.names(spec), ".hidden folder hostile plain")
	plain, err := i.Volume(spec, "plain")
	must(t, err)
	equal(t, "capacity", plain.Capacity, 5000)
	folder, err := i.Volume(spec, "folder")
	must(t, err)
	equal(t, "format", folder.Format, imgformat.Dir)
	equal(t, "type", folder.Type, 2)
	if _, err := os.Lstat(filepath.Join(target, ".virtumld-OLD.tmp")); !os.IsNotExist(err) {
		t.Errorf("what a killed daemon left is still there: %v", err)
	}
	// Reading through it would show a file that is in no pool.
	_, err = i.Download(t.Context(), spec, "hostile", 0, 0)
	refused(t, err, libvirt.ErrOperationInvalid, "/etc/passwd, which is in no active pool")
	_, err = i.CloneVolume(t.Context(), spec, raw("copy", 0), spec, "hostile", storage.CreateOptions{})
	refused(t, err, libvirt.ErrOperationInvalid, "/etc/passwd, which is in no active pool")
	equal(t, "volumes", i.names(spec), ".hidden folder hostile plain")
}

// Whoever exchanges a volume's file for a link to elsewhere gains nothing.
func TestLinksAreNotFollowed(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.fill(spec, "disk", []byte("content"))
	secret := filepath.Join(i.dir, "secret")
	must(t, os.WriteFile(secret, []byte("precious"), 0o600))
	must(t, os.Remove(v.Path))
	must(t, os.Symlink(secret, v.Path))

	refused(t, i.WipeVolume(ctx, spec, "disk", 0), libvirt.ErrSystemError, "too many levels of symbolic links")
	refused(t, i.ResizeVolume(ctx, spec, "disk", 1<<20, false, true), libvirt.ErrSystemError, "too many levels of symbolic links")
	_, err := i.Upload(ctx, spec, "disk", 0, 0)
	refused(t, err, libvirt.ErrSystemError, "too many levels of symbolic links")
	_, err = i.Download(ctx, spec, "disk", 0, 0)
	refused(t, err, libvirt.ErrSystemError, "too many levels of symbolic links")
	_, err = i.CloneVolume(ctx, spec, raw("copy", 0), spec, "disk", storage.CreateOptions{})
	refused(t, err, libvirt.ErrSystemError, "too many levels of symbolic links")
	sameContent(t, secret, []byte("precious"))
}

func TestClone(t *testing.T) {
	i, ctx := open(t), t.Context()
	from, to := i.pool("from"), i.pool("to")
	content := append(bytes.Repeat([]byte("data"), 50_000), make([]byte, 1<<20)...)
	content = append(content, "end"...)
	base := i.fill(from, "base", content)
	full := raw("full", 0)
	full.HasAllocation = false
	larger := raw("larger", uint64(len(content))+12345)
	for _, def := range []*storagexml.Volume{raw("copy", 0), full, larger} {
		v, err := i.CloneVolume(ctx, to, def, from, "base", storage.CreateOptions{})
		must(t, err)
		want := append(bytes.Clone(content), make([]byte, max(int(def.Capacity)-len(content), 0))...)
		sameContent(t, v.Path, want)
		equal(t, "capacity", v.Capacity, uint64(len(want)))
		if def == full && v.Allocation < v.Capacity {
			t.Errorf("a full copy has %d of %d bytes allocated", v.Allocation, v.Capacity)
		}
	}
	v, err := i.CloneVolume(ctx, to, over("clone", base.Path), from, "base", storage.CreateOptions{})
	must(t, err)
	equal(t, "format", v.Format, imgformat.COW)
	guestWrites(t, v.Path, 3, "written by a guest")
	want := bytes.Clone(content)
	copy(want[3*512:], pad("written by a guest"))

	copied, err := i.CloneVolume(ctx, to, over("clone2", base.Path), to, "clone", storage.CreateOptions{})
	must(t, err)
	equal(t, "format", copied.Format, imgformat.COW)
	merged, err := i.CloneVolume(ctx, to, raw("merged", 0), to, "clone2", storage.CreateOptions{})
	must(t, err)
	equal(t, "format", merged.Format, imgformat.Raw)
	sameContent(t, merged.Path, want)
}

// guestWrites stores one sector in a COW file as a kernel does.
func guestWrites(t *testing.T, path string, sector int64, text string) {
	t.Helper()
	header, err := cow.Open(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(pad(text), int64(header.DataOffset())+sector*512)
	must(t, err)
	_, err = f.WriteAt([]byte{1 << (sector % 8)}, int64(header.BitmapOffset())+sector/8)
	must(t, err)
}

func pad(text string) []byte { return append([]byte(text), make([]byte, 512-len(text))...) }

func TestCloneRefused(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	base := i.fill(spec, "base", make([]byte, 8192))
	i.fill(spec, "image.qcow2", append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1024)...))
	i.create(spec, over("clone", base.Path))
	i.create(spec, &storagexml.Volume{Name: "folder", Format: imgformat.Dir})
	must(t, i.RefreshPool(ctx, spec))
	large := over("x", base.Path)
	large.Capacity = 1 << 20
	before := entries(t, filepath.Join(i.dir, "p"))
	for _, test := range []struct {
		name string
		def  *storagexml.Volume
		from string
		code libvirt.ErrorNumber
		text string
	}{
		{"taken", raw("clone", 0), "base", libvirt.ErrInternalError, "storage volume name 'clone' already in use."},
		{"no source", raw("x", 0), "nobody", libvirt.ErrNoStorageVol, "no storage vol with matching name 'nobody'"},
		{"folder", raw("x", 0), "folder", libvirt.ErrInternalError, "cannot copy from volume to a directory volume"},
		{"slash", raw("../x", 0), "base", libvirt.ErrOperationInvalid, "cannot contain '/'"},
		{"slash in a cow copy", over("../x", base.Path), "clone", libvirt.ErrOperationInvalid, "cannot contain '/'"},
		{"cow over another", over("x", "/etc/passwd"), "base", libvirt.ErrConfigUnsupported, "give '" + base.Path + "' as the path"},
		{"cow copy, other backing", over("x", "/etc/passwd"), "clone", libvirt.ErrInternalError, "a different backing store cannot be specified."},
		{"cow copy, larger", large, "clone", libvirt.ErrOperationUnsupported, "cannot become larger than its source"},
		{"raw from qcow2", raw("x", 0), "image.qcow2", libvirt.ErrConfigUnsupported, "qemu-img convert"},
		{"8 EiB", raw("x", 1<<63), "base", libvirt.ErrInvalidArg, "less than 8 EiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := i.CloneVolume(ctx, spec, test.def, spec, test.from, storage.CreateOptions{})
			refused(t, err, test.code, test.text)
			equal(t, "files", entries(t, filepath.Join(i.dir, "p")), before)
		})
	}
}

// Whoever asks for shared blocks gets them or an error, never a slow copy.
func TestCloneReflink(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	content := bytes.Repeat([]byte("x"), 1<<20)
	base := i.fill(spec, "base", content)
	v, err := i.CloneVolume(ctx, spec, raw("copy", 0), spec, "base", storage.CreateOptions{Reflink: true})
	if err == nil {
		sameContent(t, v.Path, content)
		return
	}
	refused(t, err, libvirt.ErrSystemError, "failed to clone files from '"+base.Path+"'")
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "base")
}

func TestCancelledCopyLeavesNothing(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	i.fill(spec, "base", bytes.Repeat([]byte("x"), 1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, create := range []func() error{
		func() error {
			_, err := i.CloneVolume(ctx, spec, raw("copy", 0), spec, "base", storage.CreateOptions{})
			return err
		},
		func() error {
			_, err := i.CreateVolume(ctx, spec, raw("disk", 1<<20), storage.CreateOptions{})
			return err
		},
	} {
		if err := create(); err == nil {
			t.Error("a volume was made for a caller who is gone")
		}
	}
	equal(t, "volumes", i.names(spec), "base")
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "base")
}

func TestDelete(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.create(spec, raw("disk", 1<<20))
	gone := i.create(spec, raw("gone", 1<<20))
	mode := uint32(0o700)
	i.create(spec, &storagexml.Volume{Name: "folder", Format: imgformat.Dir, Perms: storagexml.Permissions{Mode: &mode}})
	must(t, os.WriteFile(filepath.Join(i.dir, "p", "folder", "file"), nil, 0o600))
	refused(t, i.DeleteVolume(ctx, spec, "folder"), libvirt.ErrSystemError, "cannot remove directory")
	must(t, os.Remove(filepath.Join(i.dir, "p", "folder", "file")))
	must(t, i.DeleteVolume(ctx, spec, "folder"))
	must(t, os.Remove(gone.Path))
	must(t, i.DeleteVolume(ctx, spec, "gone"))

	guest := locked(t, v.Path, filelock.Exclusive)
	refused(t, i.DeleteVolume(ctx, spec, "disk"), libvirt.ErrOperationInvalid, "volume 'disk' is still in use by a guest or another job")
	must(t, guest.Close())
	must(t, i.DeleteVolume(ctx, spec, "disk"))
	equal(t, "volumes", i.names(spec), "")
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "")
}

// locked is what a guest's supervisor does.
func locked(t *testing.T, path string, kind filelock.Kind) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	must(t, filelock.Lock(f, kind))
	return f
}

// A guest that writes a disk keeps everybody from changing it and from making
// copies of half of its changes.
func TestGuestsDiskIsProtected(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.fill(spec, "disk", make([]byte, 8192))
	guest := locked(t, v.Path, filelock.Exclusive)
	refusals := map[string]error{
		"delete": i.DeleteVolume(ctx, spec, "disk"),
		"wipe":   i.WipeVolume(ctx, spec, "disk", 0),
		"resize": i.ResizeVolume(ctx, spec, "disk", 1<<20, false, false),
	}
	_, refusals["upload"] = i.Upload(ctx, spec, "disk", 0, 0)
	_, refusals["clone"] = i.CloneVolume(ctx, spec, raw("copy", 0), spec, "disk", storage.CreateOptions{})
	_, refusals["cow"] = i.CreateVolume(ctx, spec, over("clone", v.Path), storage.CreateOptions{})
	for what, err := range refusals {
		t.Run(what, func(t *testing.T) { refused(t, err, libvirt.ErrOperationInvalid, "guest") })
	}
	must(t, guest.Close())
	must(t, i.WipeVolume(ctx, spec, "disk", 0))
}

// The backing file of clones stays as it is while there are any, under
// whatever name they know it.
func TestBackingFileIsProtected(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec, other := i.pool("p"), i.pool("other")
	base := i.fill(spec, "base", bytes.Repeat([]byte("x"), 8192))
	alias := filepath.Join(i.dir, "alias")
	must(t, os.Link(base.Path, alias))
	i.create(other, over("clone", alias))
	const text = "volume 'base' is the backing file of 'clone' in pool 'other'; delete or rebase those first"
	refused(t, i.DeleteVolume(ctx, spec, "base"), libvirt.ErrOperationInvalid, text)
	refused(t, i.WipeVolume(ctx, spec, "base", 0), libvirt.ErrOperationInvalid, text)
	refused(t, i.ResizeVolume(ctx, spec, "base", 1<<20, false, false), libvirt.ErrOperationInvalid, text)
	_, err := i.Upload(ctx, spec, "base", 0, 0)
	refused(t, err, libvirt.ErrOperationInvalid, text)
	sameContent(t, base.Path, bytes.Repeat([]byte("x"), 8192))
	must(t, i.DeleteVolume(ctx, other, "clone"))
	must(t, i.DeleteVolume(ctx, spec, "base"))
}

func TestWipe(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	content := bytes.Repeat([]byte("secret"), 100_000)
	for _, algorithm := range []int32{0, 9} {
		for _, name := range []string{"full", "sparse"} {
			v := i.fill(spec, name, content)
			if name == "sparse" {
				must(t, os.Truncate(v.Path, 100<<20))
			}
			must(t, i.WipeVolume(ctx, spec, name, algorithm))
			info, err := os.Stat(v.Path)
			must(t, err)
			sameContent(t, v.Path, make([]byte, info.Size()))
			must(t, i.DeleteVolume(ctx, spec, name))
		}
	}
	base := i.fill(spec, "base", content)
	clone := i.create(spec, over("clone", base.Path))
	guestWrites(t, clone.Path, 0, "secret of a guest")
	must(t, i.WipeVolume(ctx, spec, "clone", 0))
	file, err := os.ReadFile(clone.Path)
	must(t, err)
	equal(t, "content is there", bytes.Contains(file, []byte("secret of a guest")), false)
	merged, err := i.CloneVolume(ctx, spec, raw("merged", 0), spec, "clone", storage.CreateOptions{})
	must(t, err)
	sameContent(t, merged.Path, content)

	refused(t, i.WipeVolume(ctx, spec, "merged", 10), libvirt.ErrInvalidArg, "wiping algorithm 10 not supported")
	refused(t, i.WipeVolume(ctx, spec, "merged", -1), libvirt.ErrInvalidArg, "wiping algorithm -1 not supported")
	refused(t, i.WipeVolume(ctx, spec, "merged", 1), libvirt.ErrSystemError, "Cannot find 'scrub' in path")
}

func TestResize(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.create(spec, raw("disk", 1<<20))
	must(t, i.ResizeVolume(ctx, spec, "disk", 4<<20, false, false))
	view, err := i.Volume(spec, "disk")
	must(t, err)
	equal(t, "capacity", view.Capacity, 4<<20)
	refused(t, i.ResizeVolume(ctx, spec, "disk", 2<<20, false, false), libvirt.ErrInvalidArg, "unless shrink flag explicitly specified")
	must(t, i.ResizeVolume(ctx, spec, "disk", 2<<20, false, true))
	must(t, i.ResizeVolume(ctx, spec, "disk", 3<<20, true, false))
	view, err = i.Volume(spec, "disk")
	must(t, err)
	if view.Capacity != 3<<20 || view.Allocation < 3<<20 {
		t.Errorf("an allocated volume is %+v", view.Volume)
	}
	refused(t, i.ResizeVolume(ctx, spec, "disk", 1<<20, false, true), libvirt.ErrInvalidArg, "can't shrink capacity below existing allocation")
	refused(t, i.ResizeVolume(ctx, spec, "disk", 1<<62, true, false), libvirt.ErrOperationFailed, "Not enough space left in storage pool")
	refused(t, i.ResizeVolume(ctx, spec, "disk", 1<<63, false, false), libvirt.ErrInvalidArg, "less than 8 EiB")
	must(t, i.RefreshPool(ctx, spec))
	must(t, os.WriteFile(v.Path, []byte("QFI\xfb\x00\x00\x00\x03"+strings.Repeat("\x00", 1024)), 0o600))
	must(t, i.RefreshPool(ctx, spec))
	refused(t, i.ResizeVolume(ctx, spec, "disk", 1<<20, false, false), libvirt.ErrOperationUnsupported, "format 'qcow2' cannot be resized")
	base := i.create(spec, raw("base", 8192))
	i.create(spec, over("clone", base.Path))
	refused(t, i.ResizeVolume(ctx, spec, "clone", 1<<20, false, false), libvirt.ErrOperationUnsupported, "is as large as its backing file")
}
