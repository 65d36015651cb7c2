package domxml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const (
	// maxDocument is libvirt's limit of a string on the wire
	// (src/remote/remote_protocol.x, REMOTE_STRING_MAX).
	maxDocument = 4 << 20
	// maxDepth is libxml2's own limit (parserInternals.h,
	// xmlParserMaxDepth).
	maxDepth = 256
	// maxElements bounds the memory that reading a document takes: a device
	// of four bytes becomes a struct of hundreds. Real documents have some
	// hundred elements.
	maxElements = 1 << 16
)

// decode reads the one <domain> element of doc. Whatever the text holds, the
// work stays within a small multiple of its size: there are no entities to
// expand, and the elements are counted before anything is built of them.
func decode(doc []byte) (*document, error) {
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	if err := checkBytes(doc); err != nil {
		return nil, err
	}
	dec := newDecoder(bytes.NewReader(doc))
	start, err := rootElement(dec, "domain")
	if err != nil {
		return nil, err
	}
	// Where libvirt writes the id of a running domain, "-1" and "" stand for
	// none; a configuration has none in any case.
	start.Attr = without(start.Attr, "id")
	var d document
	if err := dec.DecodeElement(&d, &start); err != nil {
		return nil, decodeError(doc[:dec.InputOffset()], err)
	}
	if err := checkEpilog(dec); err != nil {
		return nil, err
	}
	d.XMLName = xml.Name{Local: "domain"}
	if d.Metadata != nil {
		inner, err := cleanMetadata(d.Metadata.Inner, append(d.Metadata.Attrs, start.Attr...))
		if err != nil {
			return nil, err
		}
		d.Metadata = &metadataElement{Inner: inner}
		if inner == "" {
			d.Metadata = nil
		}
	}
	return &d, nil
}

// newDecoder makes a strict decoder that takes UTF-8 and nothing else.
func newDecoder(r io.Reader) *xml.Decoder {
	dec := xml.NewDecoder(r)
	dec.CharsetReader = func(label string, input io.Reader) (io.Reader, error) {
		if strings.EqualFold(label, "us-ascii") || strings.EqualFold(label, "ascii") {
			return input, nil
		}
		return nil, fmt.Errorf("encoding %q is not supported, use UTF-8", label)
	}
	return dec
}

func without(attrs []xml.Attr, name string) []xml.Attr {
	kept := make([]xml.Attr, 0, len(attrs))
	for _, a := range attrs {
		if a.Name.Space != "" || a.Name.Local != name {
			kept = append(kept, a)
		}
	}
	return kept
}

// rootElement reads up to the root element and refuses any but name; "" takes
// all.
func rootElement(dec *xml.Decoder, name string) (xml.StartElement, error) {
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return xml.StartElement{}, notWellFormed(1, "Document is empty")
		}
		if err != nil {
			return xml.StartElement{}, decodeError(nil, err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if name != "" && t.Name.Local != name {
				return t, virerr.In(virerr.XML, libvirt.ErrXMLError,
					"expecting root element of '%s', not '%s'", name, t.Name.Local)
			}
			return t, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				line, _ := dec.InputPos()
				return xml.StartElement{}, notWellFormed(line, "Start tag expected, '<' not found")
			}
		}
	}
}

// checkEpilog refuses anything but comments after the root element.
func checkEpilog(dec *xml.Decoder) error {
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return decodeError(nil, err)
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
		return notWellFormed(line, "Extra content at the end of the document")
	}
}

// notWellFormed is libvirt's answer to text that is no XML.
func notWellFormed(line int, format string, args ...any) error {
	return virerr.New(libvirt.ErrXMLDetail, "(domain_definition):%d: %s", line, fmt.Sprintf(format, args...))
}

// decodeError turns what encoding/xml and libvirtxml say into libvirt's
// errors: broken syntax, or a value of the wrong kind. read is the text up to
// where the decoder stopped: a bad number comes without its place, which is
// looked up there.
func decodeError(read []byte, err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return notWellFormed(syntax.Line, "%s", syntax.Msg)
	}
	var number *strconv.NumError
	if errors.As(err, &number) {
		return virerr.In(virerr.XML, libvirt.ErrXMLError,
			"Invalid value '%s' for element or attribute '%s'", number.Num, findValue(read, number.Num))
	}
	if strings.Contains(err.Error(), "encoding ") {
		return notWellFormed(1, "%s", strings.TrimPrefix(err.Error(), "xml: opening charset: "))
	}
	return virerr.In(virerr.XML, libvirt.ErrXMLError, "%w", err)
}

// findValue returns the path of the last element or attribute in text whose
// value is want.
func findValue(text []byte, want string) string {
	var path []string
	found := "."
	dec := newDecoder(bytes.NewReader(text))
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return found
		}
		switch t := tok.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			for _, a := range t.Attr {
				if strings.TrimSpace(a.Value) == want {
					found = joinPath(path) + "/@" + a.Name.Local
				}
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if strings.TrimSpace(string(t)) == want && len(path) > 0 {
				found = joinPath(path)
			}
		}
	}
}

// joinPath writes a path as libvirt does, from the root element on.
func joinPath(path []string) string {
	return "./" + strings.Join(path[1:], "/")
}

// checkBytes refuses text that must not reach a decoder: too long, too deep,
// not UTF-8, with control characters, or with a document type declaration.
func checkBytes(doc []byte) error {
	if len(doc) > maxDocument {
		return notWellFormed(1, "the document is %d bytes long, at most %d are allowed", len(doc), maxDocument)
	}
	if err := checkCharacters(doc); err != nil {
		return err
	}
	return checkElements(doc)
}

// checkCharacters refuses bytes that no XML text holds.
func checkCharacters(text []byte) error {
	if !utf8.Valid(text) {
		return notWellFormed(1, "Input is not proper UTF-8")
	}
	for i, c := range text {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return notWellFormed(lineAt(text, i), "PCDATA invalid Char value %d", c)
		}
	}
	return nil
}

func lineAt(doc []byte, offset int) int {
	return 1 + bytes.Count(doc[:offset], []byte("\n"))
}

// checkElements bounds the number of doc's elements and their depth without
// decoding them, since decoding builds and recurses. In well-formed XML every '<' outside of comments, CDATA
// and processing instructions begins a tag; text that is not well-formed is
// refused by the decoder that runs next, at the latest where they part.
func checkElements(doc []byte) error {
	depth, count := 0, 0
	for i := 0; i < len(doc); {
		open := bytes.IndexByte(doc[i:], '<')
		if open < 0 {
			return nil
		}
		i += open
		rest := doc[i:]
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			i += skipPast(rest, 4, "-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			i += skipPast(rest, 9, "]]>")
		case bytes.HasPrefix(rest, []byte("<?")):
			i += skipPast(rest, 2, "?>")
		case bytes.HasPrefix(rest, []byte("<!")):
			return notWellFormed(lineAt(doc, i), "a document type declaration is not allowed in a domain's definition")
		case bytes.HasPrefix(rest, []byte("</")):
			depth--
			i += skipPast(rest, 2, ">")
		default:
			length, empty := tagLength(rest)
			i += length
			if count++; count > maxElements {
				return notWellFormed(lineAt(doc, i), "there are more than %d elements", maxElements)
			}
			if empty {
				continue
			}
			if depth++; depth > maxDepth {
				return notWellFormed(lineAt(doc, i), "elements are nested deeper than %d", maxDepth)
			}
		}
	}
	return nil
}

// skipPast returns the length of text up to the end of the first end mark at
// or after from, or the whole length when there is none.
func skipPast(text []byte, from int, end string) int {
	if i := bytes.Index(text[from:], []byte(end)); i >= 0 {
		return from + i + len(end)
	}
	return len(text)
}

// tagLength returns the length of the start tag that text begins with and
// whether it is empty ("<a/>").
func tagLength(text []byte) (length int, empty bool) {
	quote := byte(0)
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1, text[i-1] == '/'
		}
	}
	return len(text), false
}
