package ext4read

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mke2fs makes an image of tree.
func mke2fs(t testing.TB, tree, size string, options ...string) []byte {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	args := append([]string{"-q", "-d", tree}, options...)
	cmd := exec.Command("/sbin/mke2fs", append(args, image, size)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// long is a link's target that does not fit an inode.
var long = "/" + strings.Repeat("long/../", 20) + "dir/file"

// tree makes files of every kind that an ordinary user may make.
func tree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"dir/deep/deeper", "many", "long"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, "dir/file"), []byte("content"), 0o640))
	must(t, os.Chmod(filepath.Join(dir, "dir/file"), 0o750|fs.ModeSetuid))
	must(t, os.Chtimes(filepath.Join(dir, "dir/file"), time.Time{}, time.Unix(1_600_000_000, 0)))
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("0123456789abcde\n"), 60_000), 0o600))
	must(t, os.Link(filepath.Join(dir, "dir/file"), filepath.Join(dir, "hard")))
	for name, target := range map[string]string{
		"relative": "dir/file", "absolute": "/dir/file", "up": "../../../dir/file", "dir/deep/back": "../file",
		"folder": "dir", "loop": "loop", "nowhere": "none", "far": long,
	} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	for i := range 1200 {
		must(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("a rather long name of a file %04d", i)), nil, 0o600))
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	for _, at := range []int64{0, 100_000, 3_000_000} {
		_, err = sparse.WriteAt([]byte("data"), at)
		must(t, err)
	}
	must(t, sparse.Truncate(4_000_001))
	must(t, sparse.Close())
	return dir
}

var layouts = map[string][]string{
	"ext4":           {"-t", "ext4"},
	"ext4 1K":        {"-t", "ext4", "-b", "1024"},
	"ext4 32 bits":   {"-t", "ext4", "-O", "^64bit,^metadata_csum", "-I", "128"},
	"ext4 64K":       {"-t", "ext4", "-b", "65536", "-F", "-N", "4096", "-O", "^has_journal"},
	"ext3":           {"-t", "ext3"},
	"ext2 1K":        {"-t", "ext2", "-b", "1024"},
	"ext2 old":       {"-t", "ext2", "-r", "0"},
	"no sparse bits": {"-t", "ext4", "-O", "^flex_bg,^resize_inode,^has_journal"},
}

func open(t testing.TB, image []byte) *FS {
	t.Helper()
	f, err := Open(bytes.NewReader(image), int64(len(image)))
	must(t, err)
	return f
}

// Every file comes back as it was on the host, in every layout.
func TestReadsWhatMke2fsWrites(t *testing.T) {
	dir := tree(t)
	for name, options := range layouts {
		t.Run(name, func(t *testing.T) {
			f := open(t, mke2fs(t, dir, "40m", options...))
			must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				must(t, err)
				compare(t, f, dir, strings.TrimPrefix(path, dir))
				return nil
			}))
			if f.NeedsRecovery() {
				t.Error("a fresh file system needs recovery")
			}
		})
	}
}

// compare checks one file of the image against the host's.
func compare(t *testing.T, f *FS, dir, name string) {
	t.Helper()
	host := filepath.Join(dir, name)
	info, err := os.Lstat(host)
	must(t, err)
	n, err := f.Lookup(name, false)
	if err != nil {
		t.Error(err)
		return
	}
	if n.Mode != info.Mode() {
		t.Errorf("%s: mode %v, want %v", name, n.Mode, info.Mode())
	}
	if int(n.UID) != os.Getuid() && name != "" {
		t.Errorf("%s: user %d", name, n.UID)
	}
	switch {
	case n.Mode.IsRegular():
		want, err := os.ReadFile(host)
		must(t, err)
		var got bytes.Buffer
		if err := f.Copy(&got, n); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes differ from the host's %d, %v", name, got.Len(), len(want), err)
		}
		if !n.ModTime.Truncate(time.Second).Equal(info.ModTime().Truncate(time.Second)) {
			t.Errorf("%s: modified at %v, want %v", name, n.ModTime, info.ModTime())
		}
	case n.Mode&fs.ModeSymlink != 0:
		want, err := os.Readlink(host)
		must(t, err)
		if got, err := f.Readlink(n); err != nil || got != want {
			t.Errorf("%s: leads to %q, %v, want %q", name, got, err, want)
		}
	case n.Mode.IsDir():
		want, err := os.ReadDir(host)
		must(t, err)
		count := 0
		must(t, f.Entries(n, func(e Entry) error {
			if e.Name != "lost+found" {
				count++
			}
			return nil
		}))
		if count != len(want) {
			t.Errorf("%s: %d entries, want %d", name, count, len(want))
		}
	}
}

// Links are followed inside the image only, and not for ever.
func TestLookup(t *testing.T) {
	f := open(t, mke2fs(t, tree(t), "40m", "-t", "ext4"))
	for _, name := range []string{
		"dir/file", "/dir/file", "//dir/./deep/../file", "../../dir/file", "relative", "absolute", "up", "far",
		"folder/file", "dir/deep/back", "folder/deep/deeper/../../file",
	} {
		n, err := f.Lookup(name, true)
		if err != nil || n.Size != int64(len("content")) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	for _, name := range []string{"none", "nowhere", "loop", "loop/x", "dir/file/", "dir/file/x", "empty/..", "dir//none"} {
		if n, err := f.Lookup(name, true); err == nil {
			t.Errorf("%s: found %+v", name, n)
		}
	}
	if _, err := f.Lookup("none", true); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if n, err := f.Lookup("loop", false); err != nil || n.Mode&fs.ModeSymlink == 0 {
		t.Errorf("loop itself: %+v, %v", n, err)
	}
	if n, err := f.Lookup("folder/", false); err != nil || !n.Mode.IsDir() {
		t.Errorf("folder/: %+v, %v", n, err)
	}
}

// patched is image with a number of 16 or 32 bits changed.
func patched(image []byte, at int, value any) []byte {
	out := bytes.Clone(image)
	if _, err := binary.Encode(out[at:], binary.LittleEndian, value); err != nil {
		panic(err)
	}
	return out
}

func TestRefuses(t *testing.T) {
	good := mke2fs(t, t.TempDir(), "1m", "-t", "ext4")
	const sb = superblockOffset
	for name, test := range map[string]struct {
		image []byte
		want  error
	}{
		"empty":             {nil, ErrNotExt4},
		"zeros":             {make([]byte, 1<<20), ErrNotExt4},
		"cut short":         {good[:2000], ErrNotExt4},
		"magic":             {patched(good, sb+0x38, uint16(1)), ErrNotExt4},
		"block size":        {patched(good, sb+0x18, uint32(7)), ErrDamaged},
		"inode size 0":      {patched(good, sb+0x58, uint16(0)), ErrDamaged},
		"inode size 65535":  {patched(good, sb+0x58, uint16(65535)), ErrDamaged},
		"no inodes":         {patched(good, sb, uint32(0)), ErrDamaged},
		"none a group":      {patched(good, sb+0x28, uint32(0)), ErrDamaged},
		"no blocks":         {patched(good, sb+4, uint32(0)), ErrDamaged},
		"first data block":  {patched(good, sb+0x14, uint32(1<<31)), ErrDamaged},
		"compression":       {patched(good, sb+0x60, uint32(1)), ErrUnsupported},
		"a journal's disk":  {patched(good, sb+0x60, uint32(8)), ErrUnsupported},
		"meta block groups": {patched(good, sb+0x60, uint32(0x10)), ErrUnsupported},
		"descriptors of 9":  {patched(patched(good, sb+0x60, uint32(0x80)), sb+0xFE, uint16(9)), ErrDamaged},
	} {
		if _, err := Open(bytes.NewReader(test.image), int64(len(test.image))); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if f := open(t, patched(good, sb+0x60, uint32(0x46))); !f.NeedsRecovery() {
		t.Error("a file system with an open journal seems clean")
	}
}

// node is an extent tree's node in an inode.
func node(depth uint16, entries ...[3]uint32) (b [inlineSize]byte) {
	binary.LittleEndian.PutUint16(b[0:], extentMagic)
	binary.LittleEndian.PutUint16(b[2:], uint16(len(entries)))
	binary.LittleEndian.PutUint16(b[6:], depth)
	for i, e := range entries {
		for j, v := range e {
			binary.LittleEndian.PutUint32(b[extentHeader+extentEntry*i+4*j:], v)
		}
	}
	return b
}

// Extent trees that lie end with an error or as holes.
func TestHostileExtents(t *testing.T) {
	f := &FS{r: bytes.NewReader(make([]byte, 64<<10)), blockSize: 1024, blocks: 64}
	for name, test := range map[string]struct {
		block [inlineSize]byte
		size  int64
		bad   bool
	}{
		"a sound one":           {node(0, [3]uint32{0, 2, 5}), 2048, false},
		"nothing":               {node(0), 1 << 41, false},
		"empty extent":          {node(0, [3]uint32{0, 0, 5}), 4096, false},
		"unwritten":             {node(0, [3]uint32{0, 0x8002, 5}), 4096, false},
		"out of order":          {node(0, [3]uint32{9, 1, 5}, [3]uint32{0, 1, 6}), 20 << 10, false},
		"no magic":              {[inlineSize]byte{}, 1, true},
		"beyond the end":        {node(0, [3]uint32{0, 2, 63}), 2048, true},
		"block 0":               {node(0, [3]uint32{0, 1, 0}), 1024, true},
		"more than there is":    {node(0, [3]uint32{0, 40, 5}, [3]uint32{40, 40, 5}), 80 << 10, true},
		"too deep":              {node(6, [3]uint32{0, 5, 0}), 1024, true},
		"a child without magic": {node(1, [3]uint32{0, 5, 0}), 1024, true},
		"a child of nowhere":    {node(1, [3]uint32{0, 0, 0}), 1024, true},
		"larger than a file":    {node(0), 1 << 43, true},
	} {
		n := &Inode{Number: 12, flags: flagExtents, block: test.block, Size: test.size}
		err := f.Extents(n, func(int64, []byte) error { return nil })
		if test.bad != errors.Is(err, ErrDamaged) || !test.bad && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzImage changes bytes of a sound image and reads everything that is left.
func FuzzImage(f *testing.F) {
	dir := f.TempDir()
	must(f, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(f, os.WriteFile(filepath.Join(dir, "a/file"), make([]byte, 5000), 0o600))
	must(f, os.Symlink("/a/file", filepath.Join(dir, "a/b/link")))
	base := mke2fs(f, dir, "256k", "-t", "ext4", "-b", "1024", "-N", "16", "-O", "^has_journal,^resize_inode")
	f.Add(uint32(1024+0x58), uint16(7), uint32(2048), uint16(3))
	f.Fuzz(func(t *testing.T, at1 uint32, v1 uint16, at2 uint32, v2 uint16) {
		image := bytes.Clone(base)
		binary.LittleEndian.PutUint16(image[int(at1)%(len(image)-1):], v1)
		binary.LittleEndian.PutUint16(image[int(at2)%(len(image)-1):], v2)
		fsys, err := Open(bytes.NewReader(image), int64(len(image)))
		if err != nil {
			return
		}
		for _, name := range []string{"a/b/link", "a/file", "lost+found"} {
			if n, err := fsys.Lookup(name, true); err == nil && n.Size < 1<<30 {
				_ = fsys.Copy(io.Discard, n)
				_ = fsys.Entries(n, func(Entry) error { return nil })
			}
		}
	})
}
