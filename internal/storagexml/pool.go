package storagexml

import (
	"encoding/hex"
	"encoding/xml"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// poolTypes are libvirt's types of pools in the order of their numbers
// (src/conf/storage_conf.c, virStoragePool).
var poolTypes = []string{
	"dir", "fs", "netfs", "logical", "disk", "iscsi", "iscsi-direct", "scsi",
	"mpath", "rbd", "sheepdog", "gluster", "zfs", "vstorage",
}

// ParsePool reads a <pool type='dir'> document and makes up a missing uuid.
// What is malformed or incomplete is refused with ErrXMLDetail or ErrXMLError,
// a type without a backend with ErrInternalError, as by libvirt, and what is
// not available with ErrConfigUnsupported. <source>, sizes and extended
// attributes mean nothing for a folder and are left out.
func ParsePool(document string) (*Pool, error) {
	var doc libvirtxml.StoragePool
	if err := poolKind.decode(document, &doc); err != nil {
		return nil, err
	}
	if err := checkPoolType(doc.Type); err != nil {
		return nil, err
	}
	if err := checkPoolName(doc.Name); err != nil {
		return nil, err
	}
	if err := checkPoolSupport(&doc); err != nil {
		return nil, err
	}
	p := &Pool{Name: doc.Name}
	var err error
	if p.UUID, err = readUUID(doc.UUID); err != nil {
		return nil, err
	}
	target := doc.Target
	if target == nil {
		target = &libvirtxml.StoragePoolTarget{}
	}
	if p.Target, err = cleanTarget(target.Path); err != nil {
		return nil, err
	}
	if t := target.Permissions; t != nil {
		if p.Perms, err = readPermissions(t.Mode, t.Owner, t.Group, t.Label); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// checkPoolType refuses every type but "dir": one that libvirt knows as it
// does when its backend is not built.
func checkPoolType(kind string) error {
	number := slices.Index(poolTypes, kind)
	switch {
	case kind == "dir":
		return nil
	case kind == "":
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Missing required attribute 'type' in element 'pool'")
	case number < 0:
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'type' in element 'pool': '%s'.", kind)
	}
	hint := ""
	if kind == "fs" || kind == "netfs" {
		hint = ": mount the file system and give its folder as a pool of type 'dir'"
	}
	return virerr.In(virerr.Storage, libvirt.ErrInternalError, "missing backend for pool type %d (%s)%s", number, kind, hint)
}

// checkPoolSupport refuses options of a folder that would be ignored.
func checkPoolSupport(doc *libvirtxml.StoragePool) error {
	if f := doc.Features; f != nil {
		switch f.COW.State {
		case "", "yes":
		case "no":
			return unsupported("element <features><cow>: state='no' is not available, set the attribute of the folder itself with chattr +C")
		default:
			return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'state' in element 'cow': '%s'.", f.COW.State)
		}
	}
	if r := doc.Refresh; r != nil {
		switch r.Volume.Allocation {
		case "", "default":
		case "capacity":
			return unsupported("element <refresh>: allocation='capacity' is not available, leave the element out")
		default:
			return unsupported("unknown storage pool volume refresh allocation type %s", r.Volume.Allocation)
		}
	}
	if doc.Target != nil && doc.Target.Encryption != nil {
		return unsupported("element <target><encryption>: encrypted pools are not available")
	}
	return nil
}

// readUUID reads a uuid as libvirt does (src/util/viruuid.c, virUUIDParse):
// hexadecimal digits, with hyphens and spaces anywhere between.
func readUUID(text string) (uuid.UUID, error) {
	if text == "" {
		id, err := uuid.NewRandom()
		if err != nil {
			return id, virerr.In(virerr.Storage, libvirt.ErrInternalError, "unable to generate uuid: %w", err)
		}
		return id, nil
	}
	digits := strings.NewReplacer("-", "", " ", "").Replace(strings.TrimSpace(text))
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(uuid.UUID{}) {
		return uuid.UUID{}, invalid("malformed uuid element")
	}
	return uuid.UUID(raw), nil
}

// poolElement is <pool> in the order in which libvirt writes it
// (src/conf/storage_conf.c, virStoragePoolDefFormatBuf).
type poolElement struct {
	XMLName    xml.Name    `xml:"pool"`
	Type       string      `xml:"type,attr"`
	Name       string      `xml:"name"`
	UUID       string      `xml:"uuid"`
	Capacity   sizeElement `xml:"capacity"`
	Allocation sizeElement `xml:"allocation"`
	Available  sizeElement `xml:"available"`
	Source     struct{}    `xml:"source"`
	Target     poolTarget  `xml:"target"`
}

type poolTarget struct {
	Path        string              `xml:"path"`
	Permissions *permissionsElement `xml:"permissions"`
}

// XML writes the pool's document as libvirt does.
func (p *Pool) XML(stats PoolStats) (string, error) {
	text, err := virxml.Marshal(&poolElement{
		Type:       "dir",
		Name:       p.Name,
		UUID:       p.UUID.String(),
		Capacity:   inBytes(stats.Capacity),
		Allocation: inBytes(stats.Allocation),
		Available:  inBytes(stats.Available),
		Target:     poolTarget{Path: p.Target, Permissions: p.Perms.element()},
	}, "")
	if err != nil {
		return "", virerr.In(virerr.Storage, libvirt.ErrInternalError, "pool '%s': %w", p.Name, err)
	}
	// libvirt writes this one element with two tags although it is empty.
	return strings.Replace(text, "\n  <source/>\n", "\n  <source>\n  </source>\n", 1), nil
}
