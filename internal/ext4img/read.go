package ext4img

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ReadFile reads a regular file of at most limit bytes out of a filesystem of
// extents, without following symbolic links. The filesystem may be hostile, or
// in use: everything read is bounded. fs.ErrNotExist is wrapped where the path
// does not lead to a file.
func ReadFile(r io.ReaderAt, name string, limit int64) ([]byte, error) {
	path, err := splitName(name)
	if err != nil {
		return nil, err
	}
	v, err := openVolume(r)
	if err != nil {
		return nil, err
	}
	inode, err := v.inode(inodeRoot)
	for _, part := range path {
		if err != nil {
			return nil, err
		}
		inode, err = v.enter(inode, part)
	}
	if err != nil {
		return nil, err
	}
	if le.Uint16(inode)&modeType != modeRegular {
		return nil, fmt.Errorf("%q is no regular file: %w", name, fs.ErrNotExist)
	}
	return v.read(inode, limit)
}

// volume is a filesystem that is read.
type volume struct {
	r              io.ReaderAt
	blockSize      int64
	inodesPerGroup uint32
	inodeSize      int64
	descriptor     int64 // size of one
	descriptors    int64 // where they begin
}

// Features that a reader must know, beside those that the Writer makes.
const (
	incompatRecover = 0x4
	incompat64Bit   = 0x80
	incompatSeed    = 0x2000
)

// maxFolder bounds a folder that is read, in bytes.
const maxFolder = 16 << 20

func openVolume(r io.ReaderAt) (*volume, error) {
	s, err := readAt(r, superSize, superSize)
	if err != nil {
		return nil, err
	}
	if le.Uint16(s[0x38:]) != 0xEF53 {
		return nil, errors.New("no ext4 filesystem")
	}
	const known = incompatFileType | incompatExtents | incompatFlexBG | incompatRecover | incompat64Bit | incompatSeed
	incompat := le.Uint32(s[0x60:])
	if incompat&^known != 0 || incompat&incompatExtents == 0 {
		return nil, fmt.Errorf("an ext4 filesystem with features %#x that are not known", incompat)
	}
	log := le.Uint32(s[0x18:])
	v := &volume{r: r, inodesPerGroup: le.Uint32(s[0x28:]), inodeSize: int64(le.Uint16(s[0x58:])), descriptor: descriptorSize}
	if log > 6 || v.inodesPerGroup == 0 || v.inodeSize < 128 || v.inodeSize > 4096 {
		return nil, errors.New("a damaged ext4 filesystem")
	}
	v.blockSize = 1024 << log
	v.descriptors = max(v.blockSize, 2*superSize)
	if incompat&incompat64Bit != 0 {
		v.descriptor = max(descriptorSize, int64(le.Uint16(s[0xFE:])))
	}
	return v, nil
}

func readAt(r io.ReaderAt, at, size int64) ([]byte, error) {
	b := make([]byte, size)
	if n, err := r.ReadAt(b, at); n < len(b) {
		return nil, fmt.Errorf("reading the filesystem at %d: %w", at, orEOF(err))
	}
	return b, nil
}

func orEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// inode reads one, its first 128 bytes.
func (v *volume) inode(number uint32) ([]byte, error) {
	if number == 0 {
		return nil, errors.New("a damaged ext4 filesystem: inode 0")
	}
	group, index := int64((number-1)/v.inodesPerGroup), int64((number-1)%v.inodesPerGroup)
	d, err := readAt(v.r, v.descriptors+group*v.descriptor, v.descriptor)
	if err != nil {
		return nil, err
	}
	table := uint64(le.Uint32(d[8:]))
	if v.descriptor >= 64 {
		table |= uint64(le.Uint32(d[0x28:])) << 32
	}
	if table > 1<<48 {
		return nil, errors.New("a damaged ext4 filesystem: inode table")
	}
	return readAt(v.r, int64(table)*v.blockSize+index*v.inodeSize, 128)
}

// enter finds a name in a folder. Blocks of a folder's index look like empty
// entries, so that every folder can be read from front to back.
func (v *volume) enter(dir []byte, name string) ([]byte, error) {
	if le.Uint16(dir)&modeType != modeDir {
		return nil, fs.ErrNotExist
	}
	data, err := v.read(dir, maxFolder)
	if err != nil {
		return nil, err
	}
	for len(data) >= 8 {
		length := int(le.Uint16(data[4:]))
		if length == 0 && v.blockSize == 65536 {
			length = 65536
		}
		size := int(data[6])
		if length < 8 || length > len(data) || 8+size > length {
			return nil, errors.New("a damaged ext4 filesystem: folder")
		}
		if number := le.Uint32(data); number != 0 && string(data[8:8+size]) == name {
			return v.inode(number)
		}
		data = data[length:]
	}
	return nil, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
}

// read reads the content of an inode.
func (v *volume) read(inode []byte, limit int64) ([]byte, error) {
	size := uint64(le.Uint32(inode[4:])) | uint64(le.Uint32(inode[0x6C:]))<<32
	if size > uint64(limit) {
		return nil, fmt.Errorf("a file of %d bytes, more than %d: %w", size, limit, ErrLimit)
	}
	if le.Uint32(inode[0x20:])&flagExtents == 0 {
		return nil, errors.New("a file without extents")
	}
	content := make([]byte, size)
	budget := 1000 + int(2*size/uint64(v.blockSize)) // blocks that may be read
	return content, v.fill(content, inode[0x28:0x28+inodeBlockSize], 5, &budget)
}

// fill reads what one node of an extent tree leads to.
func (v *volume) fill(content, node []byte, depth int, budget *int) error {
	*budget--
	level, entries := int(le.Uint16(node[6:])), int(le.Uint16(node[2:]))
	if le.Uint16(node) != extentMagic || level > depth || (entries+1)*extentEntry > len(node) || *budget < 0 {
		return errors.New("a damaged ext4 filesystem: extents")
	}
	for i := range entries {
		e := node[(i+1)*extentEntry:]
		if level > 0 {
			block := int64(le.Uint32(e[4:])) | int64(le.Uint16(e[8:]))<<32
			below, err := readAt(v.r, block*v.blockSize, v.blockSize)
			if err == nil {
				err = v.fill(content, below, level-1, budget)
			}
			if err != nil {
				return err
			}
			continue
		}
		length := int64(le.Uint16(e[4:]))
		if length > maxExtent {
			continue // reserved, reads as zero
		}
		from := int64(le.Uint32(e)) * v.blockSize
		if from >= int64(len(content)) {
			continue
		}
		part := content[from:min(int64(len(content)), from+length*v.blockSize)]
		if *budget -= len(part) / int(v.blockSize); *budget < 0 {
			return errors.New("a damaged ext4 filesystem: extents overlap")
		}
		at := (int64(le.Uint32(e[8:])) | int64(le.Uint16(e[6:]))<<32) * v.blockSize
		if n, err := v.r.ReadAt(part, at); n < len(part) {
			return fmt.Errorf("reading the filesystem at %d: %w", at, orEOF(err))
		}
	}
	return nil
}
