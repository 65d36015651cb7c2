package ext4img

// Sizes and numbers of ext4 (fs/ext4/ext4.h).
const (
	blockSize           = 4096
	sectorsPerBlock     = blockSize / 512
	groupSize           = 8 * blockSize // blocks, limited by one bitmap block
	descriptorSize      = 32
	descriptorsPerBlock = blockSize / descriptorSize
	inodeSize           = 256
	inodesPerBlock      = blockSize / inodeSize
	inodeBlockSize      = 60
	extraSize           = 32 // of the inode's fields behind the first 128 bytes
	maxExtent           = 32768
	extentMagic         = 0xF30A
	maxLinks            = 65000
	minBlocks           = 512

	inodeRoot      = 2
	inodeJournal   = 8
	inodeLostFound = 11
	inodeFirstFree = 12

	flagExtents = 0x80000
)

// Types of files in a mode.
const (
	modeType    = 0xf000
	modeFIFO    = 0x1000
	modeChar    = 0x2000
	modeDir     = 0x4000
	modeBlock   = 0x6000
	modeRegular = 0x8000
	modeSymlink = 0xa000
)

// Features.
const (
	compatJournal  = 0x4
	compatXattr    = 0x8
	compatDirIndex = 0x20

	incompatFileType = 0x2
	incompatExtents  = 0x40
	incompatFlexBG   = 0x200

	roSparseSuper = 0x1
	roLargeFile   = 0x2
	roHugeFile    = 0x8
	roDirNlink    = 0x20
	roExtraSize   = 0x40
)

// entryType is the type of a folder's entry.
func entryType(mode uint16) byte {
	switch mode & modeType {
	case modeRegular:
		return 1
	case modeDir:
		return 2
	case modeChar:
		return 3
	case modeBlock:
		return 4
	case modeFIFO:
		return 5
	case modeSymlink:
		return 7
	}
	return 0
}
