package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// MetadataType says which part of a domain's metadata is meant (libvirt's
// virDomainMetadataType).
type MetadataType int32

// The parts of a domain's metadata.
const (
	MetadataDescription MetadataType = iota
	MetadataTitle
	MetadataElement
)

// Metadata returns the description, the title, or the child of <metadata> in
// the namespace uri, which is then written without that namespace, as libvirt
// gives it out. What is absent is ErrNoDomainMetadata.
func (d *Definition) Metadata(kind MetadataType, uri string) (string, error) {
	value := ""
	switch kind {
	case MetadataDescription:
		value = d.Description
	case MetadataTitle:
		value = d.Title
	case MetadataElement:
		var err error
		if value, err = d.metadataChild(uri); err != nil {
			return "", err
		}
	default:
		return "", unknownMetadata(kind)
	}
	if value == "" {
		return "", virerr.New(libvirt.ErrNoDomainMetadata, "Requested metadata element is not present")
	}
	return value, nil
}

func unknownMetadata(kind MetadataType) error {
	return virerr.New(libvirt.ErrInvalidArg, "unknown metadata type '%d'", kind)
}

func (d *Definition) metadataChild(uri string) (string, error) {
	doc, err := decode([]byte(d.text))
	if err != nil || doc.Metadata == nil {
		return "", err
	}
	children, err := metadataChildren(doc.Metadata.Inner)
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

// WithMetadata returns d with one part of its metadata replaced, or removed
// when text is "". An element is kept under <metadata> in the namespace uri
// with the prefix key; its name and those of its children are put into that
// namespace unless they have one.
func (d *Definition) WithMetadata(kind MetadataType, text, key, uri string) (*Definition, error) {
	switch kind {
	case MetadataDescription:
		return d.edit(func(doc *document) error { doc.Description = text; return nil })
	case MetadataTitle:
		if strings.Contains(text, "\n") {
			return nil, virerr.New(libvirt.ErrInvalidArg, "metadata title can't contain newlines")
		}
		return d.edit(func(doc *document) error { doc.Title = text; return nil })
	case MetadataElement:
		return d.edit(func(doc *document) error { return setMetadataChild(doc, text, key, uri) })
	}
	return nil, unknownMetadata(kind)
}

// setMetadataChild replaces the children in the namespace uri. The others are
// kept byte for byte.
func setMetadataChild(doc *document, text, key, uri string) error {
	var kept []string
	if doc.Metadata != nil {
		children, err := metadataChildren(doc.Metadata.Inner)
		if err != nil {
			return err
		}
		for _, c := range children {
			if c.space != uri {
				kept = append(kept, c.text)
			}
		}
	}
	if text != "" {
		added, err := addNamespace(text, key, uri)
		if err != nil {
			return err
		}
		kept = append(kept, added)
	}
	doc.Metadata = nil
	if len(kept) > 0 {
		doc.Metadata = &metadataElement{Inner: "\n    " + strings.Join(kept, "\n    ") + "\n  "}
	}
	return nil
}

// child is one element under <metadata>.
type child struct {
	space string // its namespace
	text  string // the element as it was written
}

// metadataChildren splits the content of <metadata> into its elements.
func metadataChildren(inner string) ([]child, error) {
	var children []child
	dec := newDecoder(strings.NewReader(inner))
	for {
		begin := dec.InputOffset()
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return children, nil
		}
		if err != nil {
			return nil, metadataError(err)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		if err := dec.Skip(); err != nil {
			return nil, metadataError(err)
		}
		children = append(children, child{start.Name.Space, inner[begin:dec.InputOffset()]})
	}
}

func metadataError(err error) error {
	var own *virerr.Error
	if errors.As(err, &own) {
		return err
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return virerr.New(libvirt.ErrXMLDetail, "(metadata_xml):%d: %s", syntax.Line, syntax.Msg)
	}
	return virerr.New(libvirt.ErrXMLDetail, "(metadata_xml): %w", err)
}

// cleanMetadata checks what encoding/xml lets pass in the content of
// <metadata> but XML does not, since that content is given out as it came. A
// prefix that was declared further out, in outer, is declared anew where it
// is used.
func cleanMetadata(inner string, outer []xml.Attr) (string, error) {
	var inherited [][]xml.Attr // by the index of the child that needs them
	_, err := rewrite(inner, func(e *element) error {
		if err := checkAttributesDiffer(e.start.Attr); err != nil {
			return err
		}
		if e.depth == 0 {
			inherited = append(inherited, nil)
		}
		missing := &inherited[len(inherited)-1]
		for _, prefix := range e.prefixes() {
			if _, known := e.spaces[prefix]; known || prefix == "xml" || declaredIn(*missing, prefix) != "" {
				continue
			}
			uri := declaredIn(outer, prefix)
			if uri == "" {
				return virerr.New(libvirt.ErrXMLDetail,
					"(domain_definition): element <metadata>: Namespace prefix %s on %s is not defined", prefix, rawName(e.start.Name))
			}
			*missing = append(*missing, xml.Attr{Name: xml.Name{Space: "xmlns", Local: prefix}, Value: uri})
		}
		return nil
	})
	if err != nil || len(slices.Concat(inherited...)) == 0 {
		return inner, err
	}
	return rewrite(inner, func(e *element) error {
		if e.depth == 0 {
			e.start.Attr = append(e.start.Attr, inherited[0]...)
			inherited = inherited[1:]
		}
		return nil
	})
}

func checkAttributesDiffer(attrs []xml.Attr) error {
	for i, a := range attrs {
		for _, b := range attrs[:i] {
			if a.Name == b.Name {
				return virerr.New(libvirt.ErrXMLDetail, "(domain_definition): element <metadata>: Attribute %s redefined", rawName(a.Name))
			}
		}
	}
	return nil
}

// declaredIn returns the namespace that attrs declare for prefix, or "".
func declaredIn(attrs []xml.Attr, prefix string) string {
	for _, a := range attrs {
		if a.Name.Space == "xmlns" && a.Name.Local == prefix {
			return a.Value
		}
	}
	return ""
}

// addNamespace puts the element text into the namespace uri with prefix key.
func addNamespace(text, key, uri string) (string, error) {
	if uri == "" {
		return "", invalidArgument("a metadata element needs a namespace")
	}
	if err := checkCharacters([]byte(uri)); err != nil {
		return "", err
	}
	if !isNCName(key) || strings.HasPrefix(strings.ToLower(key), "xml") {
		return "", virerr.New(libvirt.ErrInternalError, "failed to validate prefix for a new XML namespace: '%s'", key)
	}
	if err := checkBytes([]byte(text)); err != nil {
		return "", err
	}
	text, err := cleanMetadata(strings.TrimSpace(text), nil)
	if err != nil {
		return "", err
	}
	roots, err := metadataChildren(text)
	if err != nil {
		return "", err
	}
	if len(roots) != 1 || text[0] != '<' || text[len(text)-1] != '>' {
		return "", virerr.New(libvirt.ErrXMLDetail, "(metadata_xml):1: exactly one element is needed")
	}
	if space := roots[0].space; space != "" && space != uri {
		return "", invalidArgument("the metadata element is in the namespace '%s', not '%s'", space, uri)
	}
	return rewrite(roots[0].text, func(e *element) error {
		declared := e.spaces[key]
		if declared != "" && declared != uri {
			return invalidArgument("the metadata element uses the prefix '%s' for '%s'", key, declared)
		}
		if e.depth == 0 && declared == "" {
			e.start.Attr = append(e.start.Attr, xml.Attr{Name: xml.Name{Space: "xmlns", Local: key}, Value: uri})
		}
		if e.start.Name.Space == "" && e.spaces[""] == "" {
			e.start.Name.Space = key
		}
		return nil
	})
}

// stripNamespace takes the element text out of the namespace uri.
func stripNamespace(text, uri string) (string, error) {
	return rewrite(text, func(e *element) error {
		if e.spaces[e.start.Name.Space] == uri {
			e.start.Name.Space = ""
		}
		if e.depth == 0 {
			e.start.Attr = withoutNamespace(e.start.Attr, uri)
		}
		return nil
	})
}

func withoutNamespace(attrs []xml.Attr, uri string) []xml.Attr {
	var kept []xml.Attr
	for _, a := range attrs {
		isDeclaration := a.Name.Space == "xmlns" || (a.Name.Space == "" && a.Name.Local == "xmlns")
		if !isDeclaration || a.Value != uri {
			kept = append(kept, a)
		}
	}
	return kept
}

// isNCName reports whether s can be a namespace prefix; of what XML allows,
// only ASCII is.
func isNCName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || (c|0x20 >= 'a' && c|0x20 <= 'z')
		other := c == '-' || c == '.' || (c >= '0' && c <= '9')
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return s != ""
}
