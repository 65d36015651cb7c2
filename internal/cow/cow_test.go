package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// oldLayouts builds the headers that no kernel writes any more.
func v1(path string, mtime uint32, size uint64) []byte {
	b := make([]byte, sizeV1)
	binary.NativeEndian.PutUint32(b, magic)
	binary.NativeEndian.PutUint32(b[4:], 1)
	copy(b[8:8+pathV1], path)
	binary.NativeEndian.PutUint32(b[264:], mtime)
	binary.NativeEndian.PutUint64(b[268:], size)
	binary.NativeEndian.PutUint32(b[276:], 512)
	return b
}

func v2(path string, mtime uint32, size uint64) []byte {
	b := make([]byte, sizeV2)
	binary.BigEndian.PutUint32(b, magic)
	binary.BigEndian.PutUint32(b[4:], 2)
	copy(b[8:8+pathV3], path)
	binary.BigEndian.PutUint32(b[4104:], mtime)
	binary.BigEndian.PutUint64(b[4108:], size)
	binary.BigEndian.PutUint32(b[4116:], 512)
	return b
}

func v3Broken(path string, mtime uint32, size uint64) []byte {
	b := make([]byte, sizeV3Broken)
	binary.BigEndian.PutUint32(b, magic)
	binary.BigEndian.PutUint32(b[4:], 3)
	binary.BigEndian.PutUint32(b[8:], mtime)
	binary.BigEndian.PutUint64(b[16:], size)
	binary.BigEndian.PutUint32(b[24:], 512)
	binary.BigEndian.PutUint32(b[28:], 4096)
	copy(b[36:], path)
	return b
}

func v3(path string, mtime uint32, size uint64) []byte {
	h := Header{Backing: path, BackingMtime: mtime, BackingSize: size, SectorSize: sectorSize, Alignment: alignment}
	return h.encode()
}

func TestReadHeader(t *testing.T) {
	t.Parallel()
	const size = 8<<20 + 512
	tests := []struct {
		name                 string
		header               []byte
		version              int
		bitmap, length, data uint64
	}{
		{"version 1", v1("/base", 1234567890, size), 1, 280, 2048, 2560},
		{"version 2", v2("/base", 1234567890, size), 2, 4120, 2048, 6656},
		{"version 3 of 2005", v3Broken("/base", 1234567890, size), 3, 8192, 2049, 12288},
		{"version 3", v3("/base", 1234567890, size), 3, 8192, 2049, 12288},
	}
	for _, tt := range tests {
		h, err := ReadHeader(bytes.NewReader(tt.header))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if h.Version != tt.version || h.Backing != "/base" || h.BackingMtime != 1234567890 || h.BackingSize != size || h.SectorSize != 512 {
			t.Errorf("%s: %+v", tt.name, h)
		}
		if h.BitmapOffset() != tt.bitmap || h.BitmapLength() != tt.length || h.DataOffset() != tt.data || h.FileSize() != tt.data+size {
			t.Errorf("%s: bitmap %d+%d, data %d, file %d", tt.name, h.BitmapOffset(), h.BitmapLength(), h.DataOffset(), h.FileSize())
		}
		if _, err := ReadHeader(bytes.NewReader(tt.header[:len(tt.header)-1])); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s, cut: %v", tt.name, err)
		}
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	t.Parallel()
	changed := func(offset int, value byte) []byte {
		b := v3("/base", 1, 4096)
		b[offset] = value
		return b
	}
	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrNotCOW},
		{"magic alone", v3("/b", 1, 1)[:4], ErrNotCOW},
		{"ext4", make([]byte, 8192), ErrNotCOW},
		{"version 4", changed(7, 4), ErrDamaged},
		{"format 1", changed(31, 1), ErrDamaged},
		{"no alignment", changed(26, 0), ErrDamaged},
		{"odd alignment", changed(27, 1), ErrDamaged},
		{"huge alignment", changed(24, 0x80), ErrDamaged},
		{"sector size 0", changed(22, 0), ErrDamaged},
		{"huge size", changed(12, 0xff), ErrDamaged},
		{"no path", v3("", 1, 4096), ErrDamaged},
		{"endless path", v3(strings.Repeat("x", pathV3), 1, 4096), ErrDamaged},
	}
	for _, tt := range tests {
		if h, err := ReadHeader(bytes.NewReader(tt.file)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v; want %v", tt.name, h, err, tt.want)
		}
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, path := filepath.Join(dir, "base, with: a name"), filepath.Join(dir, "cow")
	const size = 64 << 30
	if err := os.WriteFile(base, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(base, size); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, base); err != nil {
		t.Fatal(err)
	}
	h, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if h.Backing != base || h.BackingSize != size || uint64(info.Size()) != h.FileSize() || info.Mode().Perm() != 0o600 {
		t.Errorf("header %+v, file of %d bytes, mode %v", h, info.Size(), info.Mode())
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks; blocks > 64 {
		t.Errorf("a new file takes %d blocks", blocks)
	}
	if err := Create(path, base); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	if err := os.WriteFile(base, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, base); err != nil {
		t.Fatal(err)
	}
	ancient := filepath.Join(dir, "ancient")
	if err := os.WriteFile(ancient, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(ancient, time.Time{}, time.Unix(-1, 0)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, backing, text string }{
		{"relative", "base", "not an absolute path"},
		{"missing", filepath.Join(dir, "missing"), "no such file"},
		{"folder", dir, "not a regular file"},
		{"long", "/" + strings.Repeat("x/", 3000), "more than 4095"},
		{"NUL", base + "\x00", "NUL"},
		{"copy-on-write itself", path, "itself a copy-on-write file"},
		{"before 1970", ancient, "does not fit"},
	}
	for _, tt := range tests {
		other := filepath.Join(dir, "other")
		if err := Create(other, tt.backing); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want text %q", tt.name, err, tt.text)
		}
		if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s left a file behind", tt.name)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	if err := os.WriteFile(base, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, base); err != nil {
		t.Fatal(err)
	}
	h, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func() error {
		info, err := os.Stat(base)
		if err != nil {
			t.Fatal(err)
		}
		return Check(h, info)
	}
	if err := check(); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	made := time.Unix(int64(h.BackingMtime), 0)
	if err := os.Chtimes(base, time.Time{}, made.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "touch -d @") {
		t.Errorf("touched: %v", err)
	}
	if err := os.Truncate(base, 16384); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(base, time.Time{}, made); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "16384 bytes") {
		t.Errorf("grown: %v", err)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(v1("/base", 1, 4096))
	f.Add(v2("/base", 1, 4096))
	f.Add(v3("/base", 1, 4096))
	f.Add(v3Broken("/base", 1, 4096))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := ReadHeader(bytes.NewReader(file))
		if err != nil {
			if h != nil || !errors.Is(err, ErrNotCOW) && !errors.Is(err, ErrDamaged) {
				t.Fatalf("%+v with the error %v", h, err)
			}
			return
		}
		if h.DataOffset() < h.BitmapOffset()+h.BitmapLength() || h.FileSize() < h.BackingSize {
			t.Fatalf("overlapping parts: %+v", h)
		}
		if h.Version == 3 && h.headerSize == sizeV3 {
			again, err := ReadHeader(bytes.NewReader(h.encode()))
			if err != nil || *again != *h {
				t.Fatalf("%+v became %+v, %v", h, again, err)
			}
		}
	})
}
