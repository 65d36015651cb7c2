package storagexml

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// readPermissions checks the texts of a <permissions> element
// (src/conf/storage_conf.c, virStorageDefParsePerms).
func readPermissions(mode, owner, group, label string) (Permissions, error) {
	p := Permissions{Label: label}
	if mode != "" {
		bits, err := strconv.ParseUint(strings.TrimSpace(mode), 8, 32)
		if err != nil || bits > 0o777 {
			return p, invalid("malformed octal mode")
		}
		value := uint32(bits)
		p.Mode = &value
	}
	var err error
	if p.Owner, err = readID("owner", owner); err != nil {
		return p, err
	}
	p.Group, err = readID("group", group)
	return p, err
}

// readID reads a uid or gid. -1, also as an unsigned number, stands for none,
// as documents of old versions of libvirt have it.
func readID(element, text string) (*int, error) {
	if text == "" {
		return nil, nil
	}
	id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || id < -1 || id > math.MaxUint32 {
		return nil, invalid("malformed %s element", element)
	}
	if id == -1 || id == math.MaxUint32 {
		return nil, nil
	}
	value := int(id)
	return &value, nil
}

// permissionsElement is <permissions> in the order in which libvirt writes it.
type permissionsElement struct {
	Mode  string `xml:"mode,omitempty"`
	Owner string `xml:"owner,omitempty"`
	Group string `xml:"group,omitempty"`
	Label string `xml:"label,omitempty"`
}

// element is p as it is written, nil when nothing is given.
func (p Permissions) element() *permissionsElement {
	e := permissionsElement{Owner: idText(p.Owner), Group: idText(p.Group), Label: p.Label}
	if p.Mode != nil {
		e.Mode = fmt.Sprintf("0%o", *p.Mode)
	}
	if e == (permissionsElement{}) {
		return nil
	}
	return &e
}

func idText(id *int) string {
	if id == nil || *id == -1 {
		return ""
	}
	return strconv.Itoa(*id)
}
