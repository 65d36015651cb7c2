package storage_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/cow"
	"virtumld/internal/filelock"
	"virtumld/internal/imgformat"
	"virtumld/internal/storage"
)

func (i *instance) upload(spec storage.PoolSpec, name string, offset, length uint64) storage.Upload {
	i.t.Helper()
	u, err := i.Upload(i.t.Context(), spec, name, offset, length)
	must(i.t, err)
	return u
}

func (i *instance) download(spec storage.PoolSpec, name string, offset, length uint64) []byte {
	i.t.Helper()
	d, err := i.Download(i.t.Context(), spec, name, offset, length)
	must(i.t, err)
	content, err := io.ReadAll(d)
	must(i.t, err)
	must(i.t, d.Close())
	return content
}

func TestUpload(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	old := bytes.Repeat([]byte("o"), 10_000)
	v := i.fill(spec, "disk", old)
	i.told()
	u := i.upload(spec, "disk", 100, 0)
	_, err := u.Write([]byte("new"))
	must(t, err)
	must(t, u.Hole(5000))
	_, err = u.Write([]byte("after"))
	must(t, err)
	must(t, u.Finish())
	must(t, u.Close())
	want := bytes.Clone(old)
	copy(want[100:], "new")
	clear(want[103:5103])
	copy(want[5103:], "after")
	sameContent(t, v.Path, want)
	equal(t, "events", i.told(), "p refreshed")

	u = i.upload(spec, "disk", 9_000, 2_000)
	must(t, u.Hole(1_500)) // partly behind the end
	_, err = u.Write(make([]byte, 501))
	refused(t, err, libvirt.ErrSystemError, "cannot write to stream: no space left on device")
	_, err = u.Write([]byte("x"))
	refused(t, err, libvirt.ErrSystemError, "cannot write to stream")
	refused(t, u.Hole(1), libvirt.ErrSystemError, "cannot write to stream")
	refused(t, u.Hole(-1), libvirt.ErrInvalidArg, "hole")
	must(t, u.Finish())
	clear(want[9_000:])
	sameContent(t, v.Path, append(want, make([]byte, 1_000)...))
	view, err := i.Volume(spec, "disk")
	must(t, err)
	equal(t, "capacity", view.Capacity, 11_000)
}

// A hole that ends the upload makes the file long enough.
func TestUploadEndsWithHole(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	v := i.create(spec, raw("disk", 0))
	u := i.upload(spec, "disk", 0, 0)
	must(t, u.Hole(1<<30))
	must(t, u.Finish())
	info, err := os.Stat(v.Path)
	must(t, err)
	equal(t, "length", info.Size(), 1<<30)
}

// What was uploaded is looked at: a raw volume may become another.
func TestUploadIsProbed(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	i.create(spec, raw("disk", 4096))
	u := i.upload(spec, "disk", 0, 0)
	_, err := u.Write([]byte("QFI\xfb\x00\x00\x00\x03"))
	must(t, err)
	equal(t, "pool stops", i.StopPool(ctx, spec) == nil, false)
	refused(t, i.StopPool(ctx, spec), libvirt.ErrInternalError, "pool 'p' has asynchronous jobs running.")
	refused(t, i.RefreshPool(ctx, spec), libvirt.ErrInternalError, "pool 'p' has asynchronous jobs running.")
	must(t, u.Close()) // given up: what was written stays
	view, err := i.Volume(spec, "disk")
	must(t, err)
	equal(t, "format", view.Format, imgformat.QCOW2)
	must(t, i.StopPool(ctx, spec))
}

// The end of an upload costs the same in a pool of any size: nothing but the
// volume is read.
func TestUploadReadsItsVolumeOnly(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	i.create(spec, raw("disk", 0))
	must(t, os.WriteFile(filepath.Join(i.dir, "p", "stray"), nil, 0o600))
	i.told()
	u := i.upload(spec, "disk", 0, 0)
	_, err := u.Write([]byte("content"))
	must(t, err)
	must(t, u.Finish())
	equal(t, "volumes", i.names(spec), "disk")
	equal(t, "events", i.told(), "p refreshed")
	views, err := i.Volumes(spec)
	must(t, err)
	equal(t, "capacity", views[0].Capacity, 7)
}

func TestJobsExcludeEachOther(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	i.fill(spec, "disk", make([]byte, 8192))
	const text = "volume 'disk' is still in use."
	u := i.upload(spec, "disk", 0, 0)
	_, err := i.Download(ctx, spec, "disk", 0, 0)
	refused(t, err, libvirt.ErrOperationInvalid, text)
	_, err = i.Upload(ctx, spec, "disk", 0, 0)
	refused(t, err, libvirt.ErrOperationInvalid, text)
	must(t, u.Finish())
	d, err := i.Download(ctx, spec, "disk", 0, 0)
	must(t, err)
	second, err := i.Download(ctx, spec, "disk", 0, 0)
	must(t, err)
	refused(t, i.DeleteVolume(ctx, spec, "disk"), libvirt.ErrOperationInvalid, text)
	refused(t, i.WipeVolume(ctx, spec, "disk", 0), libvirt.ErrOperationInvalid, text)
	refused(t, i.ResizeVolume(ctx, spec, "disk", 1, false, true), libvirt.ErrOperationInvalid, text)
	must(t, d.Close())
	must(t, d.Close())
	refused(t, i.DeleteVolume(ctx, spec, "disk"), libvirt.ErrOperationInvalid, text)
	must(t, second.Close())
	must(t, i.DeleteVolume(ctx, spec, "disk"))
}

func TestStreamRefused(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	base := i.fill(spec, "base", make([]byte, 8192))
	i.create(spec, over("clone", base.Path))
	_, err := i.Upload(ctx, spec, "clone", 0, 0)
	refused(t, err, libvirt.ErrOperationUnsupported, "format 'cow' cannot be uploaded to")
	i.fill(spec, "disk", nil)
	_, err = i.Upload(ctx, spec, "disk", 1<<63, 0)
	refused(t, err, libvirt.ErrSystemError, "Unable to seek")
	_, err = i.Download(ctx, spec, "disk", math.MaxUint64, 1)
	refused(t, err, libvirt.ErrSystemError, "Unable to seek")
	must(t, i.DeleteVolume(ctx, spec, "disk")) // nobody uses it any more
}

func TestDownload(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	content := bytes.Repeat([]byte("0123456789"), 1000)
	i.fill(spec, "disk", content)
	for _, test := range []struct {
		offset, length uint64
		want           []byte
	}{
		{0, 0, content},
		{5, 10, content[5:15]},
		{9_990, 100, content[9_990:]},
		{9_990, math.MaxUint64, content[9_990:]},
		{10_000, 0, nil},
		{20_000, 5, nil},
	} {
		if got := i.download(spec, "disk", test.offset, test.length); !bytes.Equal(got, test.want) {
			t.Errorf("%d bytes from %d: %d bytes, want %d", test.length, test.offset, len(got), len(test.want))
		}
	}
}

// A sparse download tells of the holes, and a sparse upload makes them again.
func TestSparseDownload(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.create(spec, raw("disk", 20<<20))
	f, err := os.OpenFile(v.Path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte("d"), 1<<20), 8<<20)
	must(t, err)
	must(t, f.Close())
	base := i.fill(spec, "base", bytes.Repeat([]byte("b"), 64<<10))
	i.create(spec, raw("target", 0))

	d, err := i.Download(ctx, spec, "disk", 0, 0)
	must(t, err)
	u := i.upload(spec, "target", 0, 0)
	holes := copySparse(t, d, u)
	must(t, d.Close())
	must(t, u.Finish())
	equal(t, "bytes of holes", holes, 19<<20)
	want, err := os.ReadFile(v.Path)
	must(t, err)
	target, err := i.Volume(spec, "target")
	must(t, err)
	sameContent(t, target.Path, want)
	if target.Allocation > 2<<20 {
		t.Errorf("the copy has %d bytes allocated", target.Allocation)
	}

	clone := i.create(spec, over("clone", base.Path))
	guestWrites(t, clone.Path, 2, "guest")
	merged := bytes.Repeat([]byte("b"), 64<<10)
	copy(merged[2*512:], pad("guest"))
	if got := i.download(spec, "clone", 0, 0); !bytes.Equal(got, merged) {
		t.Error("the download of a cow volume is not what a guest sees")
	}
	if got := i.download(spec, "clone", 1020, 10); !bytes.Equal(got, merged[1020:1030]) {
		t.Errorf("a part of it is %q", got)
	}
}

// copySparse does what the two ends of a sparse stream do.
func copySparse(t *testing.T, from storage.Download, to storage.Upload) (holes int64) {
	t.Helper()
	for {
		data, n, err := from.NextExtent()
		must(t, err)
		switch {
		case n == 0:
			return holes
		case data:
			_, err = io.CopyN(to, from, n)
			must(t, err)
		default:
			holes += n
			must(t, from.SkipHole(n))
			must(t, to.Hole(n))
		}
	}
}

// A file that is cut short while it is read ends there.
func TestDownloadOfShrinkingFile(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.fill(spec, "disk", make([]byte, 8192))
	d, err := i.Download(ctx, spec, "disk", 0, 0)
	must(t, err)
	must(t, os.Truncate(v.Path, 100))
	content, err := io.ReadAll(d)
	must(t, err)
	equal(t, "length", len(content), 100)
	_, n, err := d.NextExtent()
	must(t, err)
	equal(t, "what is left", n, 0)
	must(t, d.Close())
}

// A backing file that was changed is not read through.
func TestDownloadOfBrokenClone(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	base := i.fill(spec, "base", make([]byte, 8192))
	i.create(spec, over("clone", base.Path))
	must(t, os.Truncate(base.Path, 4096))
	_, err := i.Download(ctx, spec, "clone", 0, 0)
	refused(t, err, libvirt.ErrOperationFailed, "volume 'clone'")
	must(t, os.Remove(base.Path))
	_, err = i.Download(ctx, spec, "clone", 0, 0)
	refused(t, err, libvirt.ErrSystemError, "inaccessible backing store volume "+filepath.Join(i.dir, "p", "base"))
	must(t, i.DeleteVolume(ctx, spec, "clone"))
}

// A guest that makes its raw disk look like a COW file over a file of its
// choice does not have that file read or written by those who handle the disk.
func TestForgedClone(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	secret := filepath.Join(i.dir, "secret")
	content := bytes.Repeat([]byte("secret"), 2000)
	must(t, os.WriteFile(secret, content, 0o600))
	link := filepath.Join(i.dir, "p", "link")
	must(t, os.Symlink(secret, link))
	running := i.fill(spec, "running", content)
	guest, err := os.OpenFile(running.Path, os.O_RDWR, 0)
	must(t, err)
	defer guest.Close()
	must(t, filelock.Lock(guest, filelock.Exclusive))

	for name, test := range map[string]struct {
		backing string
		code    libvirt.ErrorNumber
		text    string
	}{
		"outside":         {secret, libvirt.ErrOperationInvalid, "which is in no active pool: define and start a pool for the folder " + i.dir},
		"way out":         {filepath.Join(i.dir, "p") + "/../secret", libvirt.ErrOperationInvalid, "which is in no active pool"},
		"link out":        {link, libvirt.ErrSystemError, "too many levels of symbolic links"},
		"anothers-disk":   {running.Path, libvirt.ErrOperationInvalid, "is being written by a guest"},
		"device":          {"/dev/zero", libvirt.ErrOperationInvalid, "which is in no active pool"},
		"its own":         {filepath.Join(i.dir, "p", "its own"), libvirt.ErrOperationFailed, "its own backing file"},
		"missing backing": {filepath.Join(i.dir, "p", "gone"), libvirt.ErrSystemError, "inaccessible backing store volume"},
	} {
		t.Run(name, func(t *testing.T) {
			v := i.fill(spec, name, make([]byte, 64<<10))
			forge(t, v.Path, test.backing)
			must(t, i.RefreshPool(ctx, spec))
			view, err := i.Volume(spec, name)
			must(t, err)
			equal(t, "format", view.Format, imgformat.COW)
			_, err = i.Download(ctx, spec, name, 0, 0)
			refused(t, err, test.code, test.text)
			_, err = i.CloneVolume(ctx, spec, raw("copy", 0), spec, name, storage.CreateOptions{})
			refused(t, err, test.code, test.text)
			_, err = i.Upload(ctx, spec, name, 0, 0)
			refused(t, err, libvirt.ErrOperationUnsupported, "cannot be uploaded to")
			refused(t, i.ResizeVolume(ctx, spec, name, 1<<20, false, false), libvirt.ErrOperationUnsupported, "cannot be resized")
			must(t, i.WipeVolume(ctx, spec, name, 0))
			must(t, i.DeleteVolume(ctx, spec, name))
			sameContent(t, secret, content)
			sameContent(t, running.Path, content)
		})
	}
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "link running")
}

// forge writes the header of a COW file over backing into a disk, as a guest
// can: one that fits a file of 12000 bytes, which has just been made.
func forge(t *testing.T, disk, backing string) {
	t.Helper()
	dir := t.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	must(t, os.WriteFile(base, make([]byte, 12000), 0o600))
	if info, err := os.Stat(backing); err == nil {
		must(t, os.Chtimes(base, info.ModTime(), info.ModTime()))
	}
	info, err := os.Stat(base)
	must(t, err)
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, cow.CreateFile(f, backing, info))
	header := make([]byte, 32<<10)
	n, err := f.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	out, err := os.OpenFile(disk, os.O_RDWR, 0)
	must(t, err)
	defer out.Close()
	_, err = out.WriteAt(header[:n], 0)
	must(t, err)
}
