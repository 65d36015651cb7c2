// Package imgformat recognises disk images by their content: by the magic
// numbers of the formats that users have, of which a UML guest reads only raw
// and cow. It knows files, not volumes or guests.
package imgformat

// Format is an image's format, by libvirt's name for it
// (src/util/virstoragefile.c, virStorageFileFormat).
type Format string

// The formats that are told apart. Everything without a known magic is raw.
const (
	Raw   Format = "raw"
	COW   Format = "cow" // UML's copy-on-write
	Dir   Format = "dir"
	BOCHS Format = "bochs"
	Cloop Format = "cloop"
	DMG   Format = "dmg"
	ISO   Format = "iso"
	VPC   Format = "vpc"
	VDI   Format = "vdi"
	Ploop Format = "ploop"
	LUKS  Format = "luks"
	QCOW  Format = "qcow"
	QCOW2 Format = "qcow2"
	QED   Format = "qed"
	VMDK  Format = "vmdk"
)

// Info is what an image's first bytes tell.
type Info struct {
	Format Format
	// Capacity is the size that a guest would see, in bytes; 0 when the
	// header does not tell, which for raw is the file's own size.
	Capacity uint64
	// Backing is the backing file as the header spells it, "" for none.
	Backing string
}
