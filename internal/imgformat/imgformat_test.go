package imgformat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// image is an image of n bytes with parts at offsets.
func image(n int, parts map[int]string) []byte {
	b := make([]byte, n)
	for offset, part := range parts {
		copy(b[offset:], part)
	}
	return b
}

func be32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
func be64(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
func le32(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
func le64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// cowV3 is the header of a COW file over a backing file of size bytes.
func cowV3(backing string, size uint64) map[int]string {
	return map[int]string{0: "OOOM", 4: be32(3), 12: be64(size), 20: be32(512), 24: be32(4096), 32: backing}
}

func qcow(version uint32, offset uint64, length uint32, name string) map[int]string {
	return map[int]string{0: "QFI\xfb", 4: be32(version), 8: be64(offset), 16: be32(length), 24: be64(1 << 30), 112: name}
}

const koly = "koly\x00\x00\x00\x04\x00\x00\x02\x00"

// images are tiny images with what Detect says of them.
var images = []struct {
	name string
	data []byte
	want Info
}{
	{"empty", nil, Info{Format: Raw}},
	{"zeros", make([]byte, 1<<16), Info{Format: Raw}},
	{"one byte", []byte("Q"), Info{Format: Raw}},
	{"cow v3", image(4128, cowV3("/base", 10<<20)), Info{Format: COW, Capacity: 10 << 20, Backing: "/base"}},
	{"cow v2", image(4128, map[int]string{0: "OOOM", 4: be32(2), 8: "/old", 4108: be64(512), 4116: be32(512)}),
		Info{Format: COW, Capacity: 512, Backing: "/old"}},
	{"cow without a backing file", image(4128, cowV3("", 512)), Info{Format: COW}},
	{"cow cut off", image(4128, cowV3("/base", 512))[:100], Info{Format: COW}},
	{"cow of a later version", image(4128, map[int]string{0: "OOOM", 4: be32(9)}), Info{Format: COW}},
	{"cow with an ISO's magic in its data", image(40000, merge(cowV3("/b", 512), map[int]string{32769: "CD001"})),
		Info{Format: COW, Capacity: 512, Backing: "/b"}},
	{"bochs", image(512, map[int]string{0: "Bochs Virtual HD Image", 64: le32(0x20000), 88: le64(1 << 20)}), Info{Format: BOCHS, Capacity: 1 << 20}},
	{"bochs v1", image(512, map[int]string{0: "Bochs Virtual HD Image", 64: le32(0x10000), 84: le64(1 << 20)}), Info{Format: BOCHS, Capacity: 1 << 20}},
	{"cloop", image(512, map[int]string{0: "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0"}), Info{Format: Cloop}},
	{"shell script", image(512, map[int]string{0: "#!/bin/sh\necho"}), Info{Format: Raw}},
	{"dmg", image(2048, map[int]string{1536: koly}), Info{Format: DMG}},
	{"dmg of its trailer only", image(512, map[int]string{0: koly}), Info{Format: DMG}},
	{"koly at another place", image(2048, map[int]string{1000: koly}), Info{Format: Raw}},
	{"iso", image(40000, map[int]string{32769: "CD001"}), Info{Format: ISO}},
	{"iso cut off", image(32773, map[int]string{32769: "CD00"}), Info{Format: Raw}},
	{"vpc", image(512, map[int]string{0: "conectix", 12: be32(0x10000), 40: be64(5), 48: be64(1 << 20)}), Info{Format: VPC, Capacity: 1 << 20}},
	{"vpc of another version", image(512, map[int]string{0: "conectix", 12: be32(0x20000)}), Info{Format: Raw}},
	{"vdi", image(512, map[int]string{64: "\x7f\x10\xda\xbe", 68: le32(0x10001), 368: le64(1 << 20)}), Info{Format: VDI, Capacity: 1 << 20}},
	{"vdi cut off", image(72, map[int]string{64: "\x7f\x10\xda\xbe", 68: le32(0x10001)}), Info{Format: VDI}},
	{"ploop", image(64, map[int]string{0: "WithouFreSpacExt", 36: le64(2048)}), Info{Format: Ploop, Capacity: 1 << 20}},
	{"ploop v1", image(64, map[int]string{0: "WithoutFreeSpace", 36: le32(2048), 40: "junk"}), Info{Format: Ploop, Capacity: 1 << 20}},
	{"ploop of too many sectors", image(64, map[int]string{0: "WithouFreSpacExt", 36: le64(1 << 55)}), Info{Format: Ploop}},
	{"luks1", image(4096, map[int]string{0: "LUKS\xba\xbe\x00\x01", 104: be32(2)}), Info{Format: LUKS, Capacity: 3072}},
	{"luks1 beyond the end", image(4096, map[int]string{0: "LUKS\xba\xbe\x00\x01", 104: be32(1 << 31)}), Info{Format: LUKS}},
	{"luks2", image(4096, map[int]string{0: "LUKS\xba\xbe\x00\x02", 104: be32(2)}), Info{Format: LUKS}},
	{"qcow", image(512, qcow(1, 0, 0, "")), Info{Format: QCOW, Capacity: 1 << 30}},
	{"qcow2", image(512, qcow(3, 112, 9, "/base.img")), Info{Format: QCOW2, Capacity: 1 << 30, Backing: "/base.img"}},
	{"qcow2 v2", image(512, qcow(2, 112, 4, "base.img")), Info{Format: QCOW2, Capacity: 1 << 30, Backing: "base"}},
	{"qcow2 with a zero in the name", image(512, qcow(3, 112, 9, "/ba\x00.img")), Info{Format: QCOW2, Capacity: 1 << 30, Backing: "/ba"}},
	{"qcow2 with a name beyond the end", image(512, qcow(3, 508, 9, "")), Info{Format: QCOW2, Capacity: 1 << 30}},
	{"qcow2 with a name far beyond", image(512, qcow(3, 1<<63, 9, "")), Info{Format: QCOW2, Capacity: 1 << 30}},
	{"qcow2 with a long name", image(4096, qcow(3, 112, 1024, "x")), Info{Format: QCOW2, Capacity: 1 << 30}},
	{"qcow2 of 16 EiB", image(512, merge(qcow(3, 0, 0, ""), map[int]string{24: be64(1<<64 - 1)})), Info{Format: QCOW2}},
	{"qcow2 of a later version", image(512, qcow(4, 0, 0, "")), Info{Format: Raw}},
	{"qcow2 cut off", image(512, qcow(3, 0, 0, ""))[:8], Info{Format: QCOW2}},
	{"qed", image(512, map[int]string{0: "QED\x00", 48: le64(1 << 20)}), Info{Format: QED, Capacity: 1 << 20}},
	{"vmdk", image(512, map[int]string{0: "KDMV", 4: le32(3), 12: le64(2048)}), Info{Format: VMDK, Capacity: 1 << 20}},
}

func merge(a, b map[int]string) map[int]string {
	for offset, part := range b {
		a[offset] = part
	}
	return a
}

func TestDetect(t *testing.T) {
	for _, test := range images {
		t.Run(test.name, func(t *testing.T) {
			got, err := Detect(bytes.NewReader(test.data), int64(len(test.data)))
			if err != nil || got != test.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

// TestDetectSize checks that a size that is not the file's does no harm.
func TestDetectSize(t *testing.T) {
	data := image(512, qcow(3, 0, 0, ""))
	for _, test := range []struct {
		size int64
		want Format
	}{{-1, Raw}, {0, Raw}, {4, Raw}, {512, QCOW2}, {1 << 62, QCOW2}} {
		got, err := Detect(bytes.NewReader(data), test.size)
		if err != nil || got.Format != test.want {
			t.Errorf("size %d: %+v, %v; want %s", test.size, got, err, test.want)
		}
	}
}

// failing cannot be read from offset after on.
type failing struct {
	data  []byte
	after int64
}

func (f failing) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= f.after {
		return 0, io.ErrClosedPipe
	}
	return bytes.NewReader(f.data).ReadAt(p, offset)
}

func TestDetectReadErrors(t *testing.T) {
	named := image(headerSize*2, qcow(3, headerSize+100, 9, ""))
	for name, r := range map[string]failing{
		"header":  {named, 0},
		"backing": {named, headerSize},
		"trailer": {make([]byte, headerSize*2), headerSize},
	} {
		if got, err := Detect(r, int64(len(r.data))); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestDetectFile reads the beginnings of what qemu-img has written (create -f
// FORMAT, 1 MiB each).
func TestDetectFile(t *testing.T) {
	files, err := filepath.Glob("testdata/*.img")
	if err != nil || len(files) == 0 {
		t.Fatalf("no images: %v", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Detect(f, stat.Size())
		want := Info{Format: Format(strings.TrimSuffix(filepath.Base(file), ".img")), Capacity: 1 << 20}
		if want.Format == QCOW2 {
			want.Backing = "base.raw"
		}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", file, got, err, want)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsable(t *testing.T) {
	for _, test := range []struct {
		format Format
		advice string
	}{
		{Raw, ""}, {COW, ""},
		{QCOW2, "qemu-img convert -O raw IN OUT"}, {QCOW, "qemu-img"}, {QED, "qemu-img"}, {VMDK, "qemu-img"},
		{VDI, "qemu-img"}, {VPC, "qemu-img"}, {BOCHS, "qemu-img"}, {Cloop, "qemu-img"}, {DMG, "qemu-img"}, {Ploop, "qemu-img"},
		{LUKS, "--image-opts"}, {ISO, "xorriso"}, {Dir, "mke2fs -t ext4 -d IN OUT"}, {"vhd", "qemu-img"}, {"", "qemu-img"},
	} {
		err := Usable(test.format)
		if test.advice == "" {
			if err != nil {
				t.Errorf("%s: %v", test.format, err)
			}
			continue
		}
		if !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), test.advice) ||
			!strings.Contains(err.Error(), "'"+string(test.format)+"'") {
			t.Errorf("%s: %v; want ...%s...", test.format, err, test.advice)
		}
	}
}

func FuzzDetect(f *testing.F) {
	for _, seed := range images {
		f.Add(seed.data, int64(len(seed.data)))
	}
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		info, err := Detect(bytes.NewReader(data), size)
		if err != nil {
			t.Fatalf("reading memory failed: %v", err)
		}
		if info.Format == "" || info.Capacity > 1<<63 || len(info.Backing) > 4095 || strings.Contains(info.Backing, "\x00") {
			t.Errorf("%+v", info)
		}
	})
}
