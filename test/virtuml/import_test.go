package virtuml

import (
	"archive/tar"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"virtumld/internal/testkit"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rootTarball makes a tarball of busybox with files of owners, devices and
// attributes that an ordinary user could not make.
func rootTarball(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	f, err := os.Create(filepath.Join(d.Dir, "root.tar"))
	must(t, err)
	w := tar.NewWriter(f)
	busybox, err := os.ReadFile("/bin/busybox")
	must(t, err)
	add := func(h tar.Header, content string) {
		t.Helper()
		h.Size, h.Format = int64(len(content)), tar.FormatPAX
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, content)
		must(t, err)
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, string(busybox))
	for _, applet := range []string{"sh", "stat", "id", "cat", "echo", "grep", "stty", "sleep", "mount"} {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, "")
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0::/root:/bin/sh\napp:x:100:101::/srv:/bin/sh\n")
	add(tar.Header{
		Typeflag: tar.TypeReg, Name: "srv/owned", Mode: 0o4750, Uid: 1234, Gid: 70000,
		PAXRecords: map[string]string{
			"SCHILY.xattr.user.note": "kept",
			// cap_net_raw, of a struct vfs_cap_data (linux/capability.h).
			"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		},
	}, "content\n")
	add(tar.Header{Typeflag: tar.TypeLink, Name: "srv/again", Linkname: "srv/owned"}, "")
	add(tar.Header{Typeflag: tar.TypeChar, Name: "srv/zero", Mode: 0o666, Devmajor: 1, Devminor: 5, Uid: 7}, "")
	add(tar.Header{Typeflag: tar.TypeFifo, Name: "srv/fifo", Mode: 0o600, Gid: 8}, "")
	add(tar.Header{Typeflag: tar.TypeDir, Name: "srv/dir", Mode: 0o1777, Uid: 9, Gid: 9}, "")
	must(t, w.Close())
	must(t, f.Close())
	return d.Owned(f.Name())
}

// container makes a container image of the tarball.
func container(t *testing.T, path string) v1.Image {
	t.Helper()
	layer, err := tarball.LayerFromFile(path)
	must(t, err)
	image, err := mutate.AppendLayers(empty.Image, layer)
	must(t, err)
	image, err = mutate.Config(image, v1.Config{Cmd: []string{"echo", "from the image"}, Env: []string{"A=b"}})
	must(t, err)
	return image
}

// image runs a command of virtuml image, which must succeed.
func image(t *testing.T, d *testkit.Daemon, args ...string) string {
	t.Helper()
	r := d.Run(program(), append([]string{"image"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("virtuml image %q: %d, %s", args, r.Code, r.Stderr)
	}
	return r.Stdout
}

// prepareImport builds virtuml and lets it find the daemon by itself.
func prepareImport(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	build(t)
	d.SetEnv("LIBVIRT_DEFAULT_URI", d.URI)
	d.SetEnv("TMPDIR", d.Dir)
}

// Whoever imports a tarball, the guest finds what it says.
func TestImportedOwners(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		prepareImport(t, d)
		image(t, d, "import", "--name", "trial", rootTarball(t, d))
		r := run(d, "--rm", "trial", "sh", "-c", `cd /srv; stat -c '%n %a %u %g %h %F %t %T' *; cat again; id -u; stat -c '%u %a' / /bin/busybox`)
		const want = `again 4750 1234 70000 2 regular file 0 0
dir 1777 9 9 2 directory 0 0
fifo 600 0 8 1 fifo 0 0
owned 4750 1234 70000 2 regular file 0 0
zero 666 7 0 1 character special file 1 5
content
0
0 755
0 755`
		if r.Code != 0 || r.Stdout != want {
			t.Errorf("%d, %q, got\n%s\nwant\n%s", r.Code, r.Stderr, r.Stdout, want)
		}
		path := d.OK("vol-path", "trial", "--pool", "default")
		for name, value := range map[string]string{"user.note": "6b 65 70 74", "security.capability": "01 00 00 02 00 20"} {
			if r := d.Run("/sbin/debugfs", "-R", "ea_get -x /srv/owned "+name, path); !strings.Contains(r.Stdout, value) {
				t.Errorf("%s: %q, %q", name, r.Stdout, r.Stderr)
			}
		}
	})
}

// Every source of files gives an image that runs and says what it is.
func TestImportSources(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		prepareImport(t, d)
		root := rootTarball(t, d)
		folder, saved := filepath.Join(d.Dir, "folder"), filepath.Join(d.Dir, "saved.tar")
		for _, script := range []string{
			`gzip -k "$0"; xz -0 -k "$0"; zstd -q "$0"`,
			`mkdir folder && tar -xf "$0" -C folder --no-same-owner --exclude=srv/zero && chmod -R u+rwX folder`,
		} {
			if r := d.Run("sh", "-euc", script, root); r.Code != 0 {
				t.Fatal(r.Stderr)
			}
		}
		img := container(t, root)
		ref, err := name.ParseReference("trial:1")
		must(t, err)
		must(t, tarball.WriteToFile(saved, ref, img))
		oci, err := layout.Write(filepath.Join(d.Dir, "oci"), empty.Index)
		must(t, err)
		must(t, oci.AppendImage(img))
		must(t, filepath.WalkDir(string(oci), func(path string, _ os.DirEntry, err error) error {
			d.Owned(path)
			return err
		}))
		for source, output := range map[string]string{
			root: "", root + ".gz": "", root + ".xz": "", root + ".zst": "", folder: "",
			saved: "from the image", filepath.Join(d.Dir, "oci"): "from the image",
		} {
			var made struct {
				Name     string
				Metadata struct{ Source string }
			}
			must(t, json.Unmarshal([]byte(image(t, d, "import", "--json", "--name", "trial", source)), &made))
			if made.Name != "trial" || made.Metadata.Source != source {
				t.Errorf("%s: %+v", source, made)
			}
			if r := run(d, "--rm", "trial"); r.Code != 0 || r.Stdout != output || r.Stderr != "" {
				t.Errorf("%s: %d, %q, %q, want %q", source, r.Code, r.Stdout, r.Stderr, output)
			}
			image(t, d, "remove", "trial")
		}
		if left := d.Lines("vol-list", "default", "--details"); len(left) > 2 {
			t.Errorf("the pool holds %q", left)
		}
	})
}

// An image without an init of its own is a guest's disk like any other: the
// image's command has the console, and the guest ends with it.
func TestImageAsDomain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		prepareImport(t, d)
		image(t, d, "import", "--name", "trial", rootTarball(t, d))
		events := d.Events()
		d.Boot(testkit.Guest{Name: "vm", Disk: d.OK("vol-path", "trial", "--pool", "default")})
		console := d.Console("vm")
		console.Expect("/ # ")
		console.Send("PS1='uml''# '\r")
		console.Expect(testkit.Prompt)
		shell := d.ShellOn(console)
		shell.Run("stty >/dev/null && mount | grep -q ^proc")
		// Job control: an interrupted command is not the end of the shell.
		console.Send("sh -c 'echo now-$((1)); exec sleep 1000'\r")
		console.Expect("now-1\r\n")
		console.Send("\x03")
		console.Expect(testkit.Prompt)
		d.OK("shutdown", "vm")
		events.Await("vm", "Stopped Shutdown")
		d.OK("start", "vm")
		d.Console("vm").Expect("/ # ")
		d.OK("destroy", "vm")

		image(t, d, "import", "--name", "short", saved(t, d))
		d.Boot(testkit.Guest{Name: "short", Disk: d.OK("vol-path", "short", "--pool", "default")})
		events.Await("short", "Stopped Shutdown")
		if log := d.Log(); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
}

// saved makes a docker archive whose command ends at once.
func saved(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	path := filepath.Join(d.Dir, "short.tar")
	ref, err := name.ParseReference("short:1")
	must(t, err)
	must(t, tarball.WriteToFile(path, ref, container(t, filepath.Join(d.Dir, "root.tar"))))
	return path
}
