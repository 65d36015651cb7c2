package storagexml

import (
	"encoding/xml"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/imgformat"
	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// capabilitiesElement is <storagepoolCapabilities>
// (src/conf/storage_capabilities.c).
type capabilitiesElement struct {
	XMLName xml.Name           `xml:"storagepoolCapabilities"`
	Pools   []poolCapabilities `xml:"pool"`
}

type poolCapabilities struct {
	Type      string         `xml:"type,attr"`
	Supported string         `xml:"supported,attr"`
	Volumes   *volumeOptions `xml:"volOptions"`
}

type volumeOptions struct {
	Default formatElement `xml:"defaultFormat"`
	Enum    enumElement   `xml:"enum"`
}

type enumElement struct {
	Name   string             `xml:"name,attr"`
	Values []imgformat.Format `xml:"value"`
}

// PoolCapabilities is the document of virStoragePoolCapabilities: every type
// of pool that libvirt knows, of which this daemon has "dir" with the formats
// that it can make. Of types that it lacks it says no more than that.
func PoolCapabilities() (string, error) {
	var doc capabilitiesElement
	for _, name := range poolTypes {
		pool := poolCapabilities{Type: name, Supported: "no"}
		if name == "dir" {
			pool.Supported = "yes"
			pool.Volumes = &volumeOptions{
				Default: formatElement{string(imgformat.Raw)},
				Enum:    enumElement{"targetFormatType", []imgformat.Format{imgformat.Raw, imgformat.COW}},
			}
		}
		doc.Pools = append(doc.Pools, pool)
	}
	text, err := virxml.Marshal(&doc, "")
	if err != nil {
		return "", virerr.In(virerr.Storage, libvirt.ErrInternalError, "capabilities of storage pools: %w", err)
	}
	// libvirt writes these elements with two tags although they are empty.
	return strings.ReplaceAll(text, " supported='no'/>", " supported='no'>\n  </pool>"), nil
}
