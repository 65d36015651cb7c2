package rootfs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// list notes what a Sink is told, a line each.
type list struct{ lines []string }

func (l *list) note(format string, a ...any) error {
	l.lines = append(l.lines, fmt.Sprintf(format, a...))
	return nil
}

func (l *list) Add(h *tar.Header, r io.Reader) error {
	text := ""
	if r != nil && h.Typeflag == tar.TypeReg {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		text = string(data)
	}
	return l.note("%c %s %o %s%s", h.Typeflag, strings.Trim(h.Name, "/"), h.Mode, h.Linkname, text)
}
func (l *list) NextLayer()                     { _ = l.note("next") }
func (l *list) Hide(name string) error         { return l.note("hide %s", name) }
func (l *list) HideChildren(name string) error { return l.note("hide all in %s", name) }
func (l *list) String() string                 { return strings.Join(l.lines, "\n") }

// archiveOf makes a tar of names; those that end with / are folders.
func archiveOf(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}
		if strings.HasSuffix(name, "/") {
			h = &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size == 1 {
			_, _ = w.Write([]byte("x"))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// imageOf makes a container image of layers.
func imageOf(t testing.TB, layers ...[]byte) v1.Image {
	t.Helper()
	image := empty.Image
	for _, data := range layers {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = v1.Config{Cmd: []string{"sh"}, Entrypoint: []string{"/e"}, Env: []string{"A=b"}, User: "u", WorkingDir: "/w"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	return image
}

const layered = `5 d 755 
0 d/a 644 x
0 d/b 644 x
next
hide d/a
hide all in d/
0 d/c 644 x`

func twoLayers(t testing.TB) v1.Image {
	return imageOf(t, archiveOf(t, "d/", "d/a", "d/b"), archiveOf(t, "d/.wh.a", "d/.wh..wh..opq", "d/.wh..wh.plnk", "d/c"))
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyAll identifies a source, checks its kind, and copies it.
func copyAll(t *testing.T, source string, want Kind) (string, Metadata) {
	t.Helper()
	kind, err := Identify(source)
	if err != nil || kind != want {
		t.Fatalf("%s is of the kind %q, %v, want %q", source, kind, err, want)
	}
	s, err := Open(t.Context(), source, kind, Options{Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var l list
	if err := s.Copy(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	return l.String(), s.Metadata()
}

func wantLayered(t *testing.T, got string, m Metadata) {
	t.Helper()
	if got != layered {
		t.Errorf("got\n%s\nwant\n%s", got, layered)
	}
	if fmt.Sprint(m) != "{[sh] [/e] [A=b] u /w  }" {
		t.Errorf("metadata: %v", m)
	}
}

func TestLayout(t *testing.T) {
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(twoLayers(t), layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})); err != nil {
		t.Fatal(err)
	}
	other := imageOf(t, archiveOf(t, "other"))
	if err := p.AppendImage(other, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"})); err != nil {
		t.Fatal(err)
	}
	got, m := copyAll(t, dir, OCI)
	wantLayered(t, got, m)
	if err := p.AppendImage(other); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, OCI, Options{Architecture: "amd64"}); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("two images: %v", err)
	}
}

// Indexes in indexes, as one that holds itself would seem, are refused.
func TestLayoutInACircle(t *testing.T) {
	var inner v1.ImageIndex = empty.Index
	for range maxNesting + 2 {
		inner = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: inner})
	}
	if _, err := imagesFor(inner, "amd64", 0); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
		t.Errorf("got %v", err)
	}
}

func TestDockerArchive(t *testing.T) {
	tag, err := name.NewTag("a:b")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, twoLayers(t), &b); err != nil {
		t.Fatal(err)
	}
	got, m := copyAll(t, write(t, "save.tar", b.Bytes()), DockerArchive)
	wantLayered(t, got, m)
	var z bytes.Buffer
	g := gzip.NewWriter(&z)
	_, _ = g.Write(b.Bytes())
	_ = g.Close()
	got, m = copyAll(t, write(t, "save.tgz", z.Bytes()), DockerArchive)
	wantLayered(t, got, m)
}

func TestRegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/some/image:1"
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, twoLayers(t)); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{reference, registryScheme + reference} {
		got, m := copyAll(t, source, Registry)
		wantLayered(t, got, m)
	}
	if _, err := Open(t.Context(), reference+"0", Registry, Options{}); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("no such image: %v", err)
	}
	if _, err := Open(t.Context(), reference, Registry, Options{Architecture: "mips"}); err == nil {
		t.Error("an image for another processor was opened")
	}
}

func TestTarballs(t *testing.T) {
	data := archiveOf(t, "./", "./a", "./.wh.b")
	want := "5 . 755 \n0 ./a 644 x\n0 ./.wh.b 644 x"
	for _, program := range []string{"cat", "gzip", "xz", "zstd", "bzip2"} {
		t.Run(program, func(t *testing.T) {
			cmd := exec.Command(program)
			cmd.Stdin = bytes.NewReader(data)
			packed, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := copyAll(t, write(t, "x", packed), Tar); got != want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// What asks for gigabytes of memory to be unpacked is refused.
func TestHugeWindow(t *testing.T) {
	pack := func(args ...string) []byte {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = bytes.NewReader(archiveOf(t, "./", "./a"))
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	// The first block's header follows the stream's 12 bytes: its length in
	// words less one, flags, the LZMA2 filter with the dictionary's size, CRC.
	big := pack("xz", "-c")
	block := big[12 : 12+4*(int(big[12])+1)]
	if !bytes.Equal(block[1:4], []byte{0, 0x21, 1}) {
		t.Fatalf("unexpected header % x", block)
	}
	block[4] = 40 // 4 GiB
	binary.LittleEndian.PutUint32(block[len(block)-4:], crc32.ChecksumIEEE(block[:len(block)-4]))
	for name, packed := range map[string][]byte{"xz": big, "zst": pack("zstd", "--ultra", "--long=28", "-c")} {
		path := write(t, name, packed)
		s, err := Open(t.Context(), path, Tar, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Copy(t.Context(), &list{}); !errors.Is(err, errWindow) {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
		if kind, err := Identify(path); !errors.Is(err, errWindow) {
			t.Errorf("%s: it was taken for %q, %v", name, kind, err)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "d"), 0o700),
		os.WriteFile(filepath.Join(dir, "d/a"), []byte("text"), 0o600),
		os.Link(filepath.Join(dir, "d/a"), filepath.Join(dir, "d/b")),
		os.Symlink("/etc/passwd", filepath.Join(dir, "l")),
		syscall.Mkfifo(filepath.Join(dir, "p"), 0o600),
		os.Chmod(filepath.Join(dir, "d/a"), 0o755|os.ModeSetuid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, _ := copyAll(t, dir, Folder)
	want := "5 . 755 \n5 d 700 \n0 d/a 4755 text\n1 d/b 4755 d/a\n2 l 777 /etc/passwd\n6 p 600 "
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s, err := OpenFolderAt(dir, "lib/x")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var l list
	if err := s.Copy(t.Context(), &l); err != nil || !strings.Contains(l.String(), "1 lib/x/d/b 4755 lib/x/d/a") {
		t.Errorf("%v\n%s", err, l.String())
	}
}

func TestIdentify(t *testing.T) {
	disk := make([]byte, 4096)
	copy(disk[1080:], "\x53\xef")
	qcow2 := append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1016)...)
	for name, c := range map[string]struct {
		source string
		kind   Kind
		err    string
	}{
		"disk":         {source: write(t, "a", disk), kind: Raw},
		"qcow2":        {source: write(t, "a", qcow2), kind: QCOW2},
		"registry":     {source: "debian:12", kind: Registry},
		"docker":       {source: "docker://debian", kind: Registry},
		"missing file": {source: "/no/such/file", err: "no such file"},
		"missing tar":  {source: "nosuch.tar.gz", err: "no such file"},
		"empty":        {source: write(t, "a", nil), err: "empty"},
		"text":         {source: write(t, "a", []byte("some text that is long enough")), err: "neither an archive nor"},
		"cow":          {source: write(t, "a", append([]byte("OOOM\x00\x00\x00\x02"), make([]byte, 8192)...)), err: "changes to another image"},
		"vmdk":         {source: write(t, "a", append([]byte("KDMV\x01\x00\x00\x00"), make([]byte, 1024)...)), err: "qemu-img convert"},
		"device":       {source: "/dev/null", err: "neither a file nor a folder"},
		"packed disk":  {source: write(t, "a", gzipped(t, disk)), err: "unpack a compressed disk image"},
	} {
		t.Run(name, func(t *testing.T) {
			kind, err := Identify(c.source)
			if c.err == "" && (err != nil || kind != c.kind) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %q, %v", kind, err)
			}
		})
	}
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	_, _ = g.Write(data)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCancelled(t *testing.T) {
	path := write(t, "a.tar", archiveOf(t, "a", "b"))
	for source, kind := range map[string]Kind{path: Tar, t.TempDir(): Folder} {
		s, err := Open(t.Context(), source, kind, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Copy(ctx, &list{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", kind, err)
		}
		_ = s.Close()
	}
}

func TestDamaged(t *testing.T) {
	data := archiveOf(t, "a", "b")
	for name, bad := range map[string][]byte{"tar": data[:1100], "gz": gzipped(t, data)[:60]} {
		s, err := Open(t.Context(), write(t, name, bad), Tar, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Copy(t.Context(), &list{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
	}
}

func TestProgress(t *testing.T) {
	data := archiveOf(t, "a")
	var last, all int64
	s, err := Open(t.Context(), write(t, "a", data), Tar, Options{Progress: func(d, a int64) { last, all = d, a }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Copy(t.Context(), &list{}); err != nil || last != int64(len(data)) || all != last {
		t.Errorf("%d of %d read, %v", last, all, err)
	}
}

// discard is a Sink that reads everything.
type discard struct{}

func (discard) Add(_ *tar.Header, r io.Reader) error {
	_, err := io.CopyN(io.Discard, r, 1<<20)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
func (discard) NextLayer()                {}
func (discard) Hide(string) error         { return nil }
func (discard) HideChildren(string) error { return nil }

func FuzzLayer(f *testing.F) {
	f.Add(archiveOf(f, "d/", "d/.wh.a", "d/.wh..wh..opq", ".wh."))
	f.Add(gzipped(f, archiveOf(f, "a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = identifyFile(bytes.NewReader(data), int64(len(data)))
		r, err := decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		_ = copyTar(t.Context(), io.LimitReader(r, 1<<20), discard{}, true)
		_ = r.Close()
	})
}
