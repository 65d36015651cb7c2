package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/rootfs"
	"virtumld/internal/testkit"
	"virtumld/internal/virtuml/locate"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// virtuml runs an image command against a daemon.
func virtuml(ctx context.Context, d *testkit.Daemon, args ...string) (string, error) {
	cmd := Command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append(args, "--connect", "uml+unix:///system?socket="+d.Socket))
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

func ok(t *testing.T, d *testkit.Daemon, args ...string) string {
	t.Helper()
	out, err := virtuml(t.Context(), d, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// daemon is root's, with a pool, whose folder it returns.
func daemon(t *testing.T) (d *testkit.Daemon, folder string) {
	t.Helper()
	d = testkit.Start(t, testkit.Root)
	folder = filepath.Join(d.Dir, "pool")
	d.OK("pool-create-as", "images", "dir", "--target", folder, "--build")
	return d, folder
}

// tarball makes one of name and content, in pairs.
func tarball(t testing.TB, pairs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.tar")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: pairs[i], Mode: 0o755, Size: int64(len(pairs[i+1])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, pairs[i+1])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantFiles(t *testing.T, folder, want string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the pool has %q, want %q", got, want)
	}
}

func TestImportLifeCycle(t *testing.T) {
	d, folder := daemon(t)
	source := tarball(t, "bin/sh", "#!")
	var r record
	if err := json.Unmarshal([]byte(ok(t, d, "import", "--pool", "images", "--json", source)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Name != "root" || r.Pool != "images" || r.Path != filepath.Join(folder, "root") || r.Metadata == nil || r.Metadata.Source != source {
		t.Errorf("got %+v", r)
	}
	wantFiles(t, folder, "root")
	if out, err := exec.Command("/sbin/e2fsck", "-fn", r.Path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out := d.OK("vol-list", "images"); !strings.Contains(out, r.Path) {
		t.Errorf("vol-list: %s", out)
	}
	if _, err := virtuml(t.Context(), d, "import", "--pool", "images", source); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same name again: %v", err)
	}
	if out := ok(t, d, "list", "--pool", "images"); !strings.Contains(out, source) {
		t.Errorf("list: %s", out)
	}
	if out := ok(t, d, "inspect", "--pool", "images", "root"); !strings.Contains(out, "Source:") {
		t.Errorf("inspect: %s", out)
	}
	ok(t, d, "remove", "--pool", "images", "root")
	wantFiles(t, folder, "")
	if out := ok(t, d, "list", "--pool", "images", "--json"); out != "[]\n" {
		t.Errorf("list: %s", out)
	}
}

func TestImportDisk(t *testing.T) {
	d, folder := daemon(t)
	dir := t.TempDir()
	raw, qcow2, over := filepath.Join(dir, "raw"), filepath.Join(dir, "a.qcow2"), filepath.Join(dir, "over.qcow2")
	for _, args := range [][]string{
		{"mke2fs", "-q", "-t", "ext4", raw, "16m"},
		{"qemu-img", "convert", "-O", "qcow2", raw, qcow2},
		{"qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", over, "16M"},
		{"qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=" + filepath.Join(dir, "data"), filepath.Join(dir, "data.qcow2"), "16M"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{raw, qcow2} {
		ok(t, d, "import", "--pool", "images", "--size", "32M", source)
		got, err := os.ReadFile(filepath.Join(folder, nameOf(source)))
		if err != nil || len(got) != 32<<20 || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%s: %d bytes, %v", source, len(got), err)
		}
	}
	for source, text := range map[string]string{over: "/etc/passwd", filepath.Join(dir, "data.qcow2"): "another file"} {
		if _, err := virtuml(t.Context(), d, "import", "--pool", "images", source); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if _, err := virtuml(t.Context(), d, "import", "--pool", "images", "--name", "x", "--max-size", "1M", raw); err == nil {
		t.Error("a disk larger than the limit was imported")
	}
	wantFiles(t, folder, "a raw")
}

// Whatever goes wrong, the pool is as before.
func TestNothingHalfMade(t *testing.T) {
	d, folder := daemon(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"leading out":  {[]string{tarball(t, "a", "x", "../../b", "x")}, `".."`},
		"too many":     {[]string{"--max-files", "3", tarball(t, "a", "", "b", "", "c", "", "d", "")}, "limit exceeded"},
		"too large":    {[]string{"--size", "2M", tarball(t, "a", strings.Repeat("x", 3<<20))}, "limit exceeded"},
		"pool":         {[]string{"--pool", "nosuch", tarball(t, "a", "")}, "nosuch"},
		"name":         {[]string{"--name", "../x", tarball(t, "a", "")}, "cannot be an image's name"},
		"comma":        {[]string{"--name", "a,b", tarball(t, "a", "")}, "cannot be an image's name"},
		"format":       {[]string{"--format", "zip", tarball(t, "a", "")}, "use one of"},
		"size":         {[]string{"--size", "-1", tarball(t, "a", "")}, "--size"},
		"not a kernel": {[]string{"--modules", "--kernel", "/bin/false", tarball(t, "a", "")}, "/bin/false"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := virtuml(t.Context(), d, append([]string{"import", "--pool", "images"}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			wantFiles(t, folder, "")
		})
	}
}

// An end in the middle of the reading leaves nothing.
func TestInterrupted(t *testing.T) {
	d, folder := daemon(t)
	p, err := openPool(t.Context(), locate.Place{URI: "uml+unix:///system?socket=" + d.Socket, Pool: "images"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	j := &job{source: tarball(t, "a", strings.Repeat("x", 8<<20)), kind: rootfs.Tar, maxSize: 1 << 30}
	j.options.Progress = func(int64, int64) { cancel() }
	if _, err := p.put(ctx, "a", j.write); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantFiles(t, folder, "")
}

// A user who may not write into the pool's folder sends the image instead.
func TestUpload(t *testing.T) {
	d, folder := daemon(t)
	p, err := openPool(t.Context(), locate.Place{URI: "uml+unix:///system?socket=" + d.Socket, Pool: "images"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	text := strings.Repeat("content", 1000)
	fill := func(_ context.Context, f *os.File) error {
		_, err := f.WriteString(text)
		return err
	}
	if _, err := p.upload(t.Context(), "a", fill); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(folder, "a")); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := p.upload(ctx, "b", func(c context.Context, f *os.File) error { cancel(); return fill(c, f) }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantFiles(t, folder, "a")
}

// The kernel mounts an imported image read-write and finds all as it was.
func TestBoot(t *testing.T) {
	d, folder := daemon(t)
	root := t.TempDir()
	if out, err := exec.Command("/sbin/debugfs", "-R", "rdump / "+root, d.Rootfs("small")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	secret := filepath.Join(root, "secret")
	for _, err := range []error{
		os.WriteFile(secret, []byte("found\n"), 0o640),
		os.Chown(secret, 1234, 5678),
		os.Link(secret, filepath.Join(root, "again")),
		unix.Setxattr(secret, "user.note", []byte("kept"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(t, d, "import", "--pool", "images", "--name", "boot", "--modules", root)
	d.Boot(testkit.Guest{Name: "vm", Disk: filepath.Join(folder, "boot")})
	shell := d.Shell("vm")
	for _, test := range []struct{ command, want string }{
		{"stat -c '%a %u %g %h' /secret", "640 1234 5678 2"},
		{"cat /again", "found"},
		{"stat -c '%F %t %T' /dev/console", "character special file 5 1"},
		{"echo more >/again && cat /secret", "more"},
		{"test -d /lib/modules/$(uname -r)/kernel && echo y", "y"},
		{"dd if=/dev/zero of=/big bs=1M count=60 2>/dev/null && sync && stat -c %s /big", "62914560"},
	} {
		if got := strings.TrimSpace(shell.Run(test.command)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.command, got, test.want)
		}
	}
	shell.Run("mount -o remount,ro /")
	d.OK("destroy", "vm")
	if out, err := exec.Command("/sbin/e2fsck", "-fn", filepath.Join(folder, "boot")).CombinedOutput(); err != nil {
		t.Errorf("after the guest: %v: %s", err, out)
	}
}

func TestNameOf(t *testing.T) {
	for source, want := range map[string]string{
		"debian:12": "debian-12", "docker://debian": "debian", "a/b:latest": "b", "/tmp/root.tar.gz": "root", "x.qcow2": "x",
		"localhost:5000/a/b@sha256:00": "b", "./folder/": "folder", "a b,c.tgz": "a-b-c", "/": "",
	} {
		if got := nameOf(source); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1": 1, "2K": 2048, "3MiB": 3 << 20, "4g": 4 << 30, "5TiB": 5 << 40, "6b": 6} {
		if got, err := parseSize("size", text); err != nil || got != want {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "K", "1X", "1KM", "99999999999T", "1.5G"} {
		if got, err := parseSize("size", text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

func TestProgress(t *testing.T) {
	if got := line(50, 200); !strings.HasPrefix(got, "[##########  ") || !strings.HasSuffix(got, " 25% of 200 B") {
		t.Errorf("got %q", got)
	}
	var b bytes.Buffer
	p := newProgress(&b)
	p.show(1, 2)
	p.clear()
	if b.Len() != 0 {
		t.Errorf("%q was written where there is no terminal", b.String())
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2Jb\u009bé"); got != "a?[2Jb?é" {
		t.Errorf("got %q", got)
	}
}
