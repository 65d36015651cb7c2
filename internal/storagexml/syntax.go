package storagexml

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

// maxDocument is the longest document that is read, in bytes; real ones have
// some hundred. It bounds the work, since what is built of a document is a
// small multiple of its length and there are no entities to expand.
const maxDocument = 256 << 10

// kind is what sort of document is read.
type kind struct {
	root string // the name of the root element
	name string // libvirt's name of the document in messages
}

var (
	poolKind   = kind{"pool", "storage_pool_definition"}
	volumeKind = kind{"volume", "storage_volume_definition"}
)

// decode reads the one root element of document into v.
func (k kind) decode(document string, v any) error {
	document = strings.TrimPrefix(document, "\ufeff")
	if len(document) > maxDocument {
		return k.notWellFormed(1, "the document is %d bytes long, at most %d are allowed", len(document), maxDocument)
	}
	dec := xml.NewDecoder(strings.NewReader(document))
	dec.CharsetReader = asciiOnly
	start, err := k.rootElement(dec)
	if err != nil {
		return err
	}
	if err := dec.DecodeElement(v, &start); err != nil {
		return k.decodeError(err)
	}
	return k.checkEpilog(dec)
}

var errEncoding = errors.New("this encoding is not supported, use UTF-8")

// asciiOnly accepts the one encoding beside UTF-8 that is the same.
func asciiOnly(label string, input io.Reader) (io.Reader, error) {
	if strings.EqualFold(label, "us-ascii") || strings.EqualFold(label, "ascii") {
		return input, nil
	}
	return nil, errEncoding
}

// rootElement reads up to the root element and refuses any other than k's.
func (k kind) rootElement(dec *xml.Decoder) (xml.StartElement, error) {
	for {
		tok, err := dec.Token()
		line, _ := dec.InputPos()
		if errors.Is(err, io.EOF) {
			return xml.StartElement{}, k.notWellFormed(1, "Document is empty")
		}
		if err != nil {
			return xml.StartElement{}, k.decodeError(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if t.Name.Local != k.root {
				return t, virerr.In(virerr.XML, libvirt.ErrXMLError,
					"expecting root element of '%s', not '%s'", k.root, t.Name.Local)
			}
			return t, nil
		case xml.Directive:
			return xml.StartElement{}, k.notWellFormed(line, "a document type declaration is not allowed")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return xml.StartElement{}, k.notWellFormed(line, "Start tag expected, '<' not found")
			}
		}
	}
}

// checkEpilog refuses anything but comments after the root element.
func (k kind) checkEpilog(dec *xml.Decoder) error {
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return k.decodeError(err)
		}
		switch t := tok.(type) {
		case xml.Comment, xml.ProcInst:
			continue
		case xml.CharData:
			if len(bytes.TrimSpace(t)) == 0 {
				continue
			}
		}
		line, _ := dec.InputPos()
		return k.notWellFormed(line, "Extra content at the end of the document")
	}
}

// notWellFormed is libvirt's answer to text that is no XML.
func (k kind) notWellFormed(line int, format string, args ...any) error {
	return virerr.In(virerr.Storage, libvirt.ErrXMLDetail, "(%s):%d: %s", k.name, line, fmt.Sprintf(format, args...))
}

// decodeError turns what encoding/xml says into libvirt's errors: broken
// syntax, or a value of the wrong kind.
func (k kind) decodeError(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return k.notWellFormed(syntax.Line, "%s", syntax.Msg)
	}
	var number *strconv.NumError
	if errors.As(err, &number) {
		return invalid("element <%s> holds '%s' where a number belongs", k.root, number.Num)
	}
	if errors.Is(err, errEncoding) {
		return k.notWellFormed(1, "%s", strings.TrimPrefix(err.Error(), "xml: "))
	}
	return virerr.In(virerr.XML, libvirt.ErrXMLError, "element <%s>: %w", k.root, err)
}

// invalid is libvirt's error for a document that is well-formed and wrong.
func invalid(format string, args ...any) error {
	return virerr.In(virerr.Storage, libvirt.ErrXMLError, format, args...)
}

// unsupported is libvirt's error for what a document may ask for and this
// daemon does not have.
func unsupported(format string, args ...any) error {
	return virerr.In(virerr.Storage, libvirt.ErrConfigUnsupported, format, args...)
}
