package domxml

import "encoding/xml"

// CleanMetadata checks the content of the <metadata> of any of libvirt's
// documents, and declares in it the prefixes that outer, the attributes of the
// elements around it, declare. The error is ErrXMLDetail.
func CleanMetadata(inner string, outer []xml.Attr) (string, error) {
	return cleanMetadata(inner, outer)
}

// MetadataChild returns the child of a <metadata> content in the namespace
// uri, written without it, or "".
func MetadataChild(inner, uri string) (string, error) {
	children, err := metadataChildren(inner)
	if err != nil {
		return "", err
	}
	for _, c := range children {
		if c.space == uri {
			return stripNamespace(c.text, uri)
		}
	}
	return "", nil
}

// SetMetadataChild returns a <metadata> content with its child in the namespace
// uri replaced by text, or removed when text is "". It is "" when nothing is
// left.
func SetMetadataChild(inner, text, key, uri string) (string, error) {
	doc := &document{Metadata: &metadataElement{Inner: inner}}
	if err := setMetadataChild(doc, text, key, uri); err != nil || doc.Metadata == nil {
		return "", err
	}
	return doc.Metadata.Inner, nil
}
