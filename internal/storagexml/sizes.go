package storagexml

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// sizeText is a <capacity> or <allocation> as it is read: its number is text,
// so that an empty element is told from 0.
type sizeText struct {
	Unit  string `xml:"unit,attr"`
	Value string `xml:",chardata"`
}

// given says whether the element is there and not empty.
func (s *sizeText) given() bool { return s != nil && s.Value != "" }

// bytes returns the size in bytes. Like libvirt (src/conf/storage_conf.c,
// virStorageSize) it calls every bad number a malformed capacity, and refuses
// more than a file can have.
func (s *sizeText) bytes() (uint64, error) {
	value, err := strconv.ParseUint(strings.TrimSpace(s.Value), 10, 64)
	if err != nil {
		return 0, invalid("malformed capacity element")
	}
	factor, err := unitFactor(s.Unit)
	if err != nil {
		return 0, err
	}
	high, low := bits.Mul64(value, factor)
	if high != 0 || low > math.MaxInt64 {
		return 0, virerr.In(virerr.None, libvirt.ErrOverflow, "value too large: %d%s", value, s.Unit)
	}
	return low, nil
}

// unitFactor is how many bytes a unit has, none being bytes. The units are
// libvirt's (src/util/virutil.c, virScaleInteger): b or bytes; k, M, G, T, P, E
// alone or with iB in powers of 1024, with B in powers of 1000; letter case
// does not matter.
func unitFactor(unit string) (uint64, error) {
	name := strings.ToLower(unit)
	switch name {
	case "", "b", "byte", "bytes":
		return 1, nil
	}
	base := uint64(0)
	switch name[1:] {
	case "", "ib":
		base = 1024
	case "b":
		base = 1000
	}
	power := strings.IndexByte("kmgtpe", name[0]) + 1
	if base == 0 || power == 0 {
		return 0, virerr.In(virerr.None, libvirt.ErrInvalidArg, "unknown suffix '%s'", unit)
	}
	factor := uint64(1)
	for range power {
		factor *= base
	}
	return factor, nil
}

// sizeElement is a size as it is written.
type sizeElement struct {
	Unit  string `xml:"unit,attr"`
	Value uint64 `xml:",chardata"`
}

func inBytes(n uint64) sizeElement { return sizeElement{Unit: "bytes", Value: n} }
