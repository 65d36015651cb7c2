package networkxml

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// The kinds of metadata (virNetworkMetadataType).
const (
	metadataDescription = int32(iota)
	metadataTitle
	metadataElement
)

// MetadataOf returns the description, the title, or the child of <metadata> in
// the namespace uri; what is absent is ErrNoNetworkMetadata.
func (n *Network) MetadataOf(kind int32, uri string) (string, error) {
	value := ""
	switch kind {
	case metadataDescription:
		value = n.Description
	case metadataTitle:
		value = n.Title
	case metadataElement:
		var err error
		if value, err = domxml.MetadataChild(n.Metadata, uri); err != nil {
			return "", err
		}
	default:
		return "", unknownMetadata(kind)
	}
	if value == "" {
		return "", virerr.In(virerr.Network, libvirt.ErrNoNetworkMetadata, "Requested metadata element is not present")
	}
	return value, nil
}

func unknownMetadata(kind int32) error {
	return virerr.In(virerr.Network, libvirt.ErrInvalidArg, "unknown metadata type '%d'", kind)
}

// WithMetadata returns a copy of n with one part of its metadata replaced, or
// removed when text is nil or empty.
func (n *Network) WithMetadata(kind int32, text *string, key, uri string) (*Network, error) {
	changed, value := *n, ""
	if text != nil {
		value = *text
	}
	switch kind {
	case metadataDescription:
		changed.Description = value
	case metadataTitle:
		if strings.Contains(value, "\n") {
			return nil, virerr.In(virerr.Network, libvirt.ErrInvalidArg, "metadata title can't contain newlines")
		}
		changed.Title = value
	case metadataElement:
		var err error
		if changed.Metadata, err = domxml.SetMetadataChild(n.Metadata, value, key, uri); err != nil {
			return nil, err
		}
	default:
		return nil, unknownMetadata(kind)
	}
	return Parse(changed.XML())
}
