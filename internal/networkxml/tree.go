package networkxml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const (
	// maxDocument is the longest document that is read, in bytes.
	maxDocument = 1 << 20
	// maxDepth is how deep elements may lie in each other.
	maxDepth = 64
)

// node is an element. A tree keeps apart what is absent and what is empty,
// which libvirt does too.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	children []*node
	text     string
	inner    string // of <metadata> below the root: its content as written
}

// attr returns an attribute, and whether it is there.
func (n *node) attr(name string) (string, bool) {
	if n == nil {
		return "", false
	}
	for _, a := range n.attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// get is attr for where absent and empty are the same.
func (n *node) get(name string) string {
	value, _ := n.attr(name)
	return value
}

// is reports whether n is the element name of libvirt's own.
func (n *node) is(name string) bool { return n.name.Space == "" && n.name.Local == name }

// all returns the children called name.
func (n *node) all(name string) []*node {
	var found []*node
	for _, c := range n.children {
		if c.is(name) {
			found = append(found, c)
		}
	}
	return found
}

// first returns the first child called name, or nil.
func (n *node) first(name string) *node {
	for _, c := range n.children {
		if c.is(name) {
			return c
		}
	}
	return nil
}

// yesNo reads a three-state attribute.
func (n *node) yesNo(name string) (string, error) {
	value, ok := n.attr(name)
	if !ok || value == Yes || value == No {
		return value, nil
	}
	return "", virerr.In(virerr.XML, libvirt.ErrXMLError,
		"Invalid value for attribute '%s' in element '%s': '%s'.", name, n.name.Local, value)
}

// number reads an attribute that is a number; 0 and false when it is absent.
func (n *node) number(name string) (uint, bool, error) {
	value, ok := n.attr(name)
	if !ok {
		return 0, false, nil
	}
	v, err := parseNumber(value)
	if err != nil {
		return 0, false, virerr.In(virerr.XML, libvirt.ErrXMLError,
			"Invalid value for attribute '%s' in element '%s': '%s'. Expected non-negative integer value", name, n.name.Local, value)
	}
	return v, true, nil
}

func parseNumber(text string) (uint, error) {
	v, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	return uint(v), err
}

// parseTree reads the one root element of a document. title is libvirt's name
// of the document in messages; an empty root takes any element.
func parseTree(document, title, root string) (*node, error) {
	document = strings.TrimPrefix(document, "\ufeff")
	r := &reader{title: title, document: document, dec: xml.NewDecoder(strings.NewReader(document))}
	r.dec.CharsetReader = asciiOnly
	if len(document) > maxDocument {
		return nil, r.notWellFormed("the document is %d bytes long, at most %d are allowed", len(document), maxDocument)
	}
	top, err := r.read()
	if err != nil {
		return nil, err
	}
	if root != "" && !top.is(root) {
		return nil, virerr.In(virerr.XML, libvirt.ErrXMLError,
			"expecting root element of '%s', not '%s'", root, top.name.Local)
	}
	return top, nil
}

var errEncoding = errors.New("this encoding is not supported, use UTF-8")

// asciiOnly accepts the one encoding beside UTF-8 that is the same.
func asciiOnly(label string, input io.Reader) (io.Reader, error) {
	if strings.EqualFold(label, "us-ascii") || strings.EqualFold(label, "ascii") {
		return input, nil
	}
	return nil, errEncoding
}

// reader builds a tree.
type reader struct {
	title, document string
	dec             *xml.Decoder
	top             *node
	open            []*node
	contentAt       int64 // where the content of <metadata> begins
}

func (r *reader) read() (*node, error) {
	for {
		before := r.dec.InputOffset()
		tok, err := r.dec.Token()
		if errors.Is(err, io.EOF) {
			if r.top == nil {
				return nil, r.notWellFormed("Document is empty")
			}
			return r.top, nil
		}
		if err != nil {
			return nil, r.syntaxError(err)
		}
		if err := r.take(tok, before); err != nil {
			return nil, err
		}
	}
}

func (r *reader) take(tok xml.Token, before int64) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		last := r.open[len(r.open)-1]
		if len(r.open) == 2 && last.is("metadata") {
			last.inner = r.document[min(r.contentAt, before):before]
		}
		r.open = r.open[:len(r.open)-1]
	case xml.CharData:
		if len(r.open) > 0 {
			r.open[len(r.open)-1].text += string(t)
		} else if len(bytes.TrimSpace(t)) > 0 {
			if r.top != nil {
				return r.notWellFormed("Extra content at the end of the document")
			}
			return r.notWellFormed("Start tag expected, '<' not found")
		}
	case xml.Directive:
		return r.notWellFormed("a document type declaration is not allowed")
	}
	return nil
}

func (r *reader) start(t xml.StartElement) error {
	if r.top != nil && len(r.open) == 0 {
		return r.notWellFormed("Extra content at the end of the document")
	}
	if len(r.open) == maxDepth {
		return r.notWellFormed("elements lie more than %d deep in each other", maxDepth)
	}
	for i, a := range t.Attr {
		for _, b := range t.Attr[:i] {
			if a.Name == b.Name {
				return r.notWellFormed("Attribute %s redefined", a.Name.Local)
			}
		}
	}
	n := &node{name: t.Name, attrs: t.Copy().Attr}
	if r.top == nil {
		r.top = n
	} else {
		parent := r.open[len(r.open)-1]
		parent.children = append(parent.children, n)
	}
	r.open = append(r.open, n)
	if len(r.open) == 2 {
		r.contentAt = r.dec.InputOffset()
	}
	return nil
}

// notWellFormed is libvirt's answer to text that is no XML.
func (r *reader) notWellFormed(format string, args ...any) error {
	line, _ := r.dec.InputPos()
	return detail("(%s):%d: %s", r.title, line, fmt.Sprintf(format, args...))
}

func (r *reader) syntaxError(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return detail("(%s):%d: %s", r.title, syntax.Line, syntax.Msg)
	}
	return r.notWellFormed("%s", strings.TrimPrefix(err.Error(), "xml: "))
}
