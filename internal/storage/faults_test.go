package storage_test

import (
	"os"
	"path/filepath"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// Whatever takes the place of a pool's folder, nothing is done elsewhere and
// the pool can be stopped.
func TestFolderReplaced(t *testing.T) {
	for name, replace := range map[string]func(*testing.T, string){
		"gone":           func(*testing.T, string) {},
		"a file":         func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o600)) },
		"a link to none": func(t *testing.T, path string) { must(t, os.Symlink("/nowhere", path)) },
		"another folder": func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			i, ctx := open(t), t.Context()
			spec, other := i.pool("p"), i.pool("other")
			v := i.fill(spec, "disk", make([]byte, 4096))
			i.create(spec, over("clone", v.Path))
			i.fill(other, "source", make([]byte, 4096))
			target := filepath.Join(i.dir, "p")
			must(t, os.RemoveAll(target))
			replace(t, target)

			failures := map[string]error{
				"wipe":   i.WipeVolume(ctx, spec, "disk", 0),
				"resize": i.ResizeVolume(ctx, spec, "disk", 8192, true, false),
			}
			_, failures["upload"] = i.Upload(ctx, spec, "disk", 0, 0)
			_, failures["download"] = i.Download(ctx, spec, "disk", 0, 0)
			_, failures["download of the clone"] = i.Download(ctx, spec, "clone", 0, 0)
			_, failures["clone"] = i.CloneVolume(ctx, other, raw("copy", 0), spec, "disk", storage.CreateOptions{})
			_, failures["merge"] = i.CloneVolume(ctx, other, raw("copy", 0), spec, "clone", storage.CreateOptions{})
			for what, err := range failures {
				if !virerr.Is(err, libvirt.ErrSystemError) {
					t.Errorf("%s: %v", what, err)
				}
			}
			equal(t, "volumes of the other pool", i.names(other), "source")
			equal(t, "files of the other pool", entries(t, filepath.Join(i.dir, "other")), "source")
			if _, err := i.Volume(spec, "disk"); err == nil {
				t.Error("the volume is still there")
			}
			if name == "another folder" {
				must(t, i.RefreshPool(ctx, spec))
				equal(t, "volumes", i.names(spec), "")
				must(t, i.StopPool(ctx, spec))
				return
			}
			_, err := i.CloneVolume(ctx, spec, raw("copy", 0), other, "source", storage.CreateOptions{})
			refused(t, err, libvirt.ErrSystemError, "cannot open directory")
			refused(t, i.RefreshPool(ctx, spec), libvirt.ErrSystemError, "cannot open directory")
			refused(t, i.StartPool(ctx, spec, storage.BuildOptions{}), libvirt.ErrSystemError, "cannot open directory")
			must(t, i.UndefinePool(ctx, spec))
		})
	}
}

// A volume whose file somebody removes while it is uploaded to or downloaded
// is gone afterwards.
func TestFileRemovedMeanwhile(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	up, down := i.fill(spec, "up", make([]byte, 4096)), i.fill(spec, "down", []byte("content"))
	u := i.upload(spec, "up", 0, 0)
	d, err := i.Download(ctx, spec, "down", 0, 0)
	must(t, err)
	must(t, os.Remove(up.Path))
	must(t, os.Remove(down.Path))
	_, err = u.Write([]byte("content"))
	must(t, err)
	must(t, u.Finish())
	got := make([]byte, 7)
	_, err = d.Read(got)
	must(t, err)
	equal(t, "content", string(got), "content")
	must(t, d.Close())
	for _, name := range []string{"up", "down"} {
		_, err := i.Volume(spec, name)
		refused(t, err, libvirt.ErrNoStorageVol, "no storage vol with matching path")
	}
	equal(t, "files", entries(t, filepath.Join(i.dir, "p")), "")
}

// A volume that somebody has replaced by a link is not deleted in its place,
// nor is what the link leads to.
func TestLinkIsNotDeleted(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	v := i.fill(spec, "disk", nil)
	precious := filepath.Join(i.dir, "precious")
	must(t, os.WriteFile(precious, []byte("x"), 0o600))
	must(t, os.Remove(v.Path))
	must(t, os.Symlink(precious, v.Path))
	refused(t, i.DeleteVolume(ctx, spec, "disk"), libvirt.ErrSystemError, "cannot unlink file")
	sameContent(t, precious, []byte("x"))
	must(t, i.RefreshPool(ctx, spec))
	equal(t, "volumes", i.names(spec), "")
}
