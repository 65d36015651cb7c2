package storagexml

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"virtumld/internal/imgformat"
	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// volumeTypes are libvirt's types of volumes (src/conf/storage_conf.c,
// virStorageVol).
var volumeTypes = []string{"file", "block", "dir", "network", "netdir", "ploop"}

// volumeFormats are libvirt's formats of files
// (src/conf/storage_source_conf.c, virStorageFileFormat).
var volumeFormats = []imgformat.Format{
	imgformat.Raw, imgformat.Dir, imgformat.BOCHS, imgformat.Cloop, imgformat.DMG, imgformat.ISO,
	imgformat.VPC, imgformat.VDI, "fat", "vhd", imgformat.Ploop, imgformat.COW, imgformat.QCOW,
	imgformat.QCOW2, imgformat.QED, imgformat.VMDK,
}

// volumeDocument is a <volume> as it is read, with the sizes as text.
type volumeDocument struct {
	libvirtxml.StorageVolume
	Capacity   *sizeText `xml:"capacity"`
	Allocation *sizeText `xml:"allocation"`
}

// ParseVolume reads a <volume> document of a client that wants it made. An
// absent allocation is the capacity. With a <backingStore>, a capacity that is
// absent or 0 is the backing file's: HasCapacity is false then. What is
// malformed, incomplete or impossible is refused with libvirt's codes
// (ErrXMLDetail, ErrXMLError, ErrInvalidArg, ErrOverflow, ErrOperationInvalid),
// and what is not available with ErrConfigUnsupported. Formats are not refused
// here for what can be done with them.
func ParseVolume(document string) (*Volume, error) {
	v, err := ParseClone(document)
	if err != nil {
		return nil, err
	}
	if v.Backing != nil && v.Capacity == 0 {
		v.HasCapacity = false
	}
	if v.Backing == nil && !v.HasCapacity {
		return nil, invalid("missing capacity element")
	}
	return v, nil
}

// ParseClone is ParseVolume for the copy of another volume: without a capacity
// in the document it is that of the other one, and HasCapacity is false.
func ParseClone(document string) (*Volume, error) {
	var doc volumeDocument
	if err := volumeKind.decode(document, &doc); err != nil {
		return nil, err
	}
	if err := checkVolumeName(doc.Name); err != nil {
		return nil, err
	}
	if doc.Type != "" && !slices.Contains(volumeTypes, doc.Type) {
		return nil, unsupported("unknown volume type '%s'", doc.Type)
	}
	v := &Volume{Name: doc.Name}
	if err := readBacking(v, doc.BackingStore); err != nil {
		return nil, err
	}
	if err := readSizes(v, &doc); err != nil {
		return nil, err
	}
	target := doc.Target
	if target == nil {
		target = &libvirtxml.StorageVolumeTarget{}
	}
	if err := readTarget(v, target); err != nil {
		return nil, err
	}
	return v, nil
}

func readBacking(v *Volume, b *libvirtxml.StorageVolumeBackingStore) error {
	if b == nil || b.Path == "" {
		return nil
	}
	if len(b.Path) > pathMax {
		return invalid("element <backingStore>: the path is %d bytes long, at most %d are allowed", len(b.Path), pathMax)
	}
	format, err := readFormat(b.Format)
	if err != nil {
		return err
	}
	v.Backing = &Backing{Path: b.Path, Format: format}
	v.Backing.Perms, err = readVolumePermissions(b.Permissions)
	return err
}

func readSizes(v *Volume, doc *volumeDocument) error {
	v.HasCapacity, v.HasAllocation = doc.Capacity.given(), doc.Allocation.given()
	var err error
	if v.HasCapacity {
		if v.Capacity, err = doc.Capacity.bytes(); err != nil {
			return err
		}
	}
	if !v.HasAllocation {
		v.Allocation = v.Capacity
		return nil
	}
	v.Allocation, err = doc.Allocation.bytes()
	return err
}

// readTarget reads what a client may ask of the file. Compat and features are
// those of qcow2, and are checked only; a path is made of the name.
func readTarget(v *Volume, t *libvirtxml.StorageVolumeTarget) error {
	var err error
	if v.Format, err = readFormat(t.Format); err != nil {
		return err
	}
	if v.Perms, err = readVolumePermissions(t.Permissions); err != nil {
		return err
	}
	if t.Encryption != nil {
		return unsupported("element <target><encryption>: encrypted volumes are not available, encrypt the file system that the pool is on")
	}
	return checkCompat(t.Compat)
}

func readFormat(f *libvirtxml.StorageVolumeTargetFormat) (imgformat.Format, error) {
	if f == nil || f.Type == "" {
		return imgformat.Raw, nil
	}
	format := imgformat.Format(f.Type)
	if !slices.Contains(volumeFormats, format) {
		return "", unsupported("unknown volume format type %s", f.Type)
	}
	return format, nil
}

func readVolumePermissions(p *libvirtxml.StorageVolumeTargetPermissions) (Permissions, error) {
	if p == nil {
		return Permissions{}, nil
	}
	return readPermissions(p.Mode, p.Owner, p.Group, p.Label)
}

// checkCompat refuses what is no version of the form 1.1.
func checkCompat(compat string) error {
	if compat == "" {
		return nil
	}
	major, minor, _ := strings.Cut(compat, ".")
	for _, part := range []string{major, minor} {
		if _, err := strconv.ParseUint(part, 10, 32); err != nil {
			return invalid("forbidden characters in 'compat' attribute")
		}
	}
	return nil
}

// volumeElement is <volume> in the order in which libvirt writes it
// (src/conf/storage_conf.c, virStorageVolDefFormat).
type volumeElement struct {
	XMLName    xml.Name      `xml:"volume"`
	Type       string        `xml:"type,attr"`
	Name       string        `xml:"name"`
	Key        string        `xml:"key,omitempty"`
	Capacity   sizeElement   `xml:"capacity"`
	Allocation sizeElement   `xml:"allocation"`
	Physical   *sizeElement  `xml:"physical"`
	Target     volumeTarget  `xml:"target"`
	Backing    *volumeTarget `xml:"backingStore"`
}

type volumeTarget struct {
	Path        string              `xml:"path,omitempty"`
	Format      formatElement       `xml:"format"`
	Permissions *permissionsElement `xml:"permissions"`
	Times       *timesElement       `xml:"timestamps"`
	Encryption  *encryptionElement  `xml:"encryption"`
}

type formatElement struct {
	Type string `xml:"type,attr"`
}

type encryptionElement struct {
	Format string `xml:"format,attr"`
}

type timesElement struct {
	Access string `xml:"atime,omitempty"`
	Modify string `xml:"mtime,omitempty"`
	Change string `xml:"ctime,omitempty"`
}

// XML writes the volume's document as libvirt does.
func (v *Volume) XML() (string, error) {
	e := volumeElement{
		Type:       "file",
		Name:       v.Name,
		Key:        v.Key,
		Capacity:   inBytes(v.Capacity),
		Allocation: inBytes(v.Allocation),
		Target:     newTarget(v.Path, v.Format, v.Perms),
	}
	if v.Format == imgformat.Dir {
		e.Type = "dir"
	}
	if v.Physical != 0 {
		physical := inBytes(v.Physical)
		e.Physical = &physical
	}
	if t := v.Times; t != nil {
		e.Target.Times = &timesElement{timeText(t.Access), timeText(t.Modify), timeText(t.Change)}
	}
	if b := v.Backing; b != nil {
		backing := newTarget(b.Path, b.Format, b.Perms)
		e.Backing = &backing
	}
	text, err := virxml.Marshal(&e, "")
	if err != nil {
		return "", virerr.In(virerr.Storage, libvirt.ErrInternalError, "volume '%s': %w", v.Name, err)
	}
	return text, nil
}

// newTarget is <target> or <backingStore>. To libvirt, LUKS is no format but
// an encryption of raw.
func newTarget(path string, format imgformat.Format, perms Permissions) volumeTarget {
	t := volumeTarget{Path: path, Format: formatElement{string(format)}, Permissions: perms.element()}
	switch format {
	case "":
		t.Format.Type = string(imgformat.Raw)
	case imgformat.LUKS:
		t.Format.Type = string(imgformat.Raw)
		t.Encryption = &encryptionElement{Format: "luks"}
	}
	return t
}

// timeText is t as libvirt writes it, in seconds since 1970, which it takes
// for an unsigned number; "" for no time.
func timeText(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Nanosecond() == 0:
		return strconv.FormatUint(uint64(t.Unix()), 10)
	}
	return fmt.Sprintf("%d.%09d", uint64(t.Unix()), t.Nanosecond())
}
