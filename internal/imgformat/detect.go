package imgformat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"virtumld/internal/cow"
)

// headerSize is how much of an image is looked at, in bytes: libvirt's
// VIR_STORAGE_MAX_HEADER, which reaches as far as an ISO image's magic.
const headerSize = 0x8200

// signature is how one format is recognised. Numbers that a header lacks are
// not looked at.
type signature struct {
	format Format
	offset int
	magic  string
	order  binary.ByteOrder
	// versions are the numbers at versionOffset of which one must be there;
	// none means that the magic is enough.
	versionOffset int
	versions      []uint32
	// capacity reads the size that a guest would see; nil when the header
	// does not tell.
	capacity func(header []byte, size int64) uint64
	// backing reads the backing file's name; nil when there is none.
	backing func(r io.ReaderAt, header []byte, size int64) (string, error)
}

// signatures are libvirt's (src/storage_file/storage_file_probe.c,
// fileTypeInfo), ISO last, since the magic at the very beginning decides what
// other programs take an image for. Those of bochs, cloop and the older ploop
// are qemu's (block/bochs.c, cloop.c, parallels.c), that of luks is
// cryptsetup's. UML's cow is not among them: package cow reads it.
var signatures = []signature{
	{format: BOCHS, magic: "Bochs Virtual HD Image", order: binary.LittleEndian,
		versionOffset: 64, versions: []uint32{0x20000}, capacity: number64(binary.LittleEndian, 88, 1)},
	{format: BOCHS, magic: "Bochs Virtual HD Image", order: binary.LittleEndian,
		versionOffset: 64, versions: []uint32{0x10000}, capacity: number64(binary.LittleEndian, 84, 1)},
	{format: Cloop, magic: "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"},
	{format: VPC, magic: "conectix", order: binary.BigEndian,
		versionOffset: 12, versions: []uint32{0x10000}, capacity: number64(binary.BigEndian, 48, 1)},
	{format: VDI, offset: 64, magic: "\x7f\x10\xda\xbe", order: binary.LittleEndian,
		versionOffset: 68, versions: []uint32{0x10001}, capacity: number64(binary.LittleEndian, 368, 1)},
	{format: Ploop, magic: "WithouFreSpacExt", capacity: number64(binary.LittleEndian, 36, 512)},
	{format: Ploop, magic: "WithoutFreeSpace", capacity: number32(binary.LittleEndian, 36, 512)},
	{format: LUKS, magic: "LUKS\xba\xbe", capacity: luksCapacity},
	{format: QCOW, magic: "QFI", order: binary.BigEndian,
		versionOffset: 4, versions: []uint32{1}, capacity: number64(binary.BigEndian, 24, 1), backing: qcowBacking},
	{format: QCOW2, magic: "QFI", order: binary.BigEndian,
		versionOffset: 4, versions: []uint32{2, 3}, capacity: number64(binary.BigEndian, 24, 1), backing: qcowBacking},
	{format: QED, magic: "QED", capacity: number64(binary.LittleEndian, 48, 1)},
	{format: VMDK, magic: "KDMV", order: binary.LittleEndian,
		versionOffset: 4, versions: []uint32{1, 2, 3}, capacity: number64(binary.LittleEndian, 12, 512)},
	{format: ISO, offset: 32769, magic: "CD001"},
}

// Detect tells the format of the image r, which is size bytes long, by its
// content: without a known magic it is raw. A guest can write any magic into
// its raw image, so that the answer is no more than what other programs would
// take the image for. A damaged header still has its format, without capacity
// and backing file. An error is one of reading r.
func Detect(r io.ReaderAt, size int64) (Info, error) {
	header := make([]byte, min(headerSize, max(size, 0)))
	n, err := r.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Info{}, fmt.Errorf("cannot read the beginning of an image: %w", err)
	}
	header = header[:n]
	if info, found, err := detectCOW(header); found || err != nil {
		return info, err
	}
	for _, s := range signatures {
		if s.matches(header) {
			return s.info(r, header, size)
		}
	}
	return detectDMG(r, size)
}

// detectCOW asks package cow, whose answer is the one of the guest's kernel.
func detectCOW(header []byte) (info Info, found bool, err error) {
	h, err := cow.ReadHeader(bytes.NewReader(header))
	switch {
	case errors.Is(err, cow.ErrNotCOW):
		return Info{}, false, nil
	case errors.Is(err, cow.ErrDamaged):
		return Info{Format: COW}, true, nil
	case err != nil:
		return Info{}, false, err
	}
	return Info{Format: COW, Capacity: h.BackingSize, Backing: h.Backing}, true, nil
}

// detectDMG looks for the trailer of Apple's images, which have no header.
func detectDMG(r io.ReaderAt, size int64) (Info, error) {
	const trailer = 512
	raw := Info{Format: Raw}
	if size < trailer {
		return raw, nil
	}
	// "koly", version 4, length 512, all big-endian (qemu's block/dmg.c).
	magic := []byte("koly\x00\x00\x00\x04\x00\x00\x02\x00")
	found := make([]byte, len(magic))
	if _, err := r.ReadAt(found, size-trailer); err != nil && !errors.Is(err, io.EOF) {
		return Info{}, fmt.Errorf("cannot read the end of an image: %w", err)
	}
	if bytes.Equal(found, magic) {
		return Info{Format: DMG}, nil
	}
	return raw, nil
}

func (s *signature) matches(header []byte) bool {
	if len(header) < s.offset || !bytes.HasPrefix(header[s.offset:], []byte(s.magic)) {
		return false
	}
	if len(s.versions) == 0 {
		return true
	}
	if len(header) < s.versionOffset+4 {
		return false
	}
	return slices.Contains(s.versions, s.order.Uint32(header[s.versionOffset:]))
}

func (s *signature) info(r io.ReaderAt, header []byte, size int64) (Info, error) {
	info := Info{Format: s.format}
	if s.capacity != nil {
		info.Capacity = s.capacity(header, size)
	}
	if s.backing != nil {
		backing, err := s.backing(r, header, size)
		if err != nil {
			return Info{}, err
		}
		info.Backing = backing
	}
	return info, nil
}

// number64 reads a capacity of 64 bits at offset, in units of unit bytes. One
// beyond what a file can have is damage, and counts as not told.
func number64(order binary.ByteOrder, offset int, unit uint64) func([]byte, int64) uint64 {
	return func(header []byte, _ int64) uint64 {
		if len(header) < offset+8 {
			return 0
		}
		return scaled(order.Uint64(header[offset:]), unit)
	}
}

// number32 is number64 for a number of 32 bits.
func number32(order binary.ByteOrder, offset int, unit uint64) func([]byte, int64) uint64 {
	return func(header []byte, _ int64) uint64 {
		if len(header) < offset+4 {
			return 0
		}
		return scaled(uint64(order.Uint32(header[offset:])), unit)
	}
}

func scaled(value, unit uint64) uint64 {
	if value > math.MaxInt64/unit {
		return 0
	}
	return value * unit
}

// luksCapacity is what follows a header of version 1, whose payload offset
// counts sectors. Version 2 keeps its offsets in a JSON text.
func luksCapacity(header []byte, size int64) uint64 {
	const payloadOffset, sector = 104, 512
	if len(header) < payloadOffset+4 || binary.BigEndian.Uint16(header[6:]) != 1 {
		return 0
	}
	payload := int64(binary.BigEndian.Uint32(header[payloadOffset:])) * sector
	return uint64(max(size-payload, 0))
}

// qcowBacking reads the backing file's name of a qcow or qcow2 image: offset
// and length stand behind the version, in big-endian. The name has at most
// 1023 bytes; a header that says otherwise, or points
// beyond the image's end, names none.
func qcowBacking(r io.ReaderAt, header []byte, size int64) (string, error) {
	if len(header) < 20 {
		return "", nil
	}
	offset, length := binary.BigEndian.Uint64(header[8:]), binary.BigEndian.Uint32(header[16:])
	if offset == 0 || offset > uint64(size) || length == 0 || length > 1023 {
		return "", nil
	}
	name := make([]byte, length)
	n, err := r.ReadAt(name, int64(offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("cannot read the name of a backing file: %w", err)
	}
	if n < len(name) {
		return "", nil
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(name), nil
}
