package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"strings"
)

// element is a start tag that rewrite hands out: names with their prefixes as
// written, and the namespaces in force at it.
type element struct {
	start *xml.StartElement
	depth int
	// spaces maps the prefixes that the fragment declares to their
	// namespaces; "" is the default namespace.
	spaces map[string]string
}

// prefixes are the prefixes that the tag uses, declarations apart.
func (e *element) prefixes() []string {
	var used []string
	if p := e.start.Name.Space; p != "" {
		used = append(used, p)
	}
	for _, a := range e.start.Attr {
		if p := a.Name.Space; p != "" && p != "xmlns" {
			used = append(used, p)
		}
	}
	return used
}

// rewrite copies a fragment of XML, with each start tag first passed to edit,
// which may change its name and attributes. Everything but tags is copied byte
// for byte, and so are tags that edit leaves alone.
func rewrite(fragment string, edit func(*element) error) (string, error) {
	var out strings.Builder
	dec := newDecoder(strings.NewReader(fragment))
	var open []openElement
	for {
		begin := dec.InputOffset()
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return out.String(), nil
		}
		if err != nil {
			return "", metadataError(err)
		}
		raw := fragment[begin:dec.InputOffset()]
		switch t := tok.(type) {
		case xml.StartElement:
			e := &element{start: &t, depth: len(open), spaces: inherit(open, t.Attr)}
			before := tagText(t)
			if err := edit(e); err != nil {
				return "", err
			}
			empty := strings.HasSuffix(raw, "/>")
			writeTag(&out, raw, before, tagText(t), empty)
			open = append(open, openElement{name: rawName(t.Name), spaces: e.spaces, empty: empty})
		case xml.EndElement:
			if len(open) == 0 {
				return "", metadataError(&xml.SyntaxError{Msg: "unexpected end element </" + rawName(t.Name) + ">", Line: 1})
			}
			last := open[len(open)-1]
			open = open[:len(open)-1]
			if !last.empty {
				out.WriteString("</" + last.name + ">")
			}
		case xml.Directive:
			return "", metadataError(errors.New("a document type declaration is not allowed"))
		default:
			out.WriteString(raw)
		}
	}
}

// openElement is an element whose end tag is still to come.
type openElement struct {
	name   string
	spaces map[string]string
	empty  bool // "<a/>": RawToken makes up an end tag
}

// inherit returns the namespaces inside of a tag.
func inherit(open []openElement, attrs []xml.Attr) map[string]string {
	var outer map[string]string
	if len(open) > 0 {
		outer = open[len(open)-1].spaces
	}
	var own map[string]string
	for _, a := range attrs {
		prefix, ok := declaration(a)
		if !ok {
			continue
		}
		if own == nil {
			own = map[string]string{}
			maps.Copy(own, outer)
		}
		own[prefix] = a.Value
	}
	if own == nil {
		return outer
	}
	return own
}

// declaration returns the prefix that a declares, "" for the default.
func declaration(a xml.Attr) (prefix string, ok bool) {
	switch {
	case a.Name.Space == "xmlns":
		return a.Name.Local, true
	case a.Name.Space == "" && a.Name.Local == "xmlns":
		return "", true
	}
	return "", false
}

// rawName is a name of RawToken as it was written.
func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// tagText is the start tag's name and attributes.
func tagText(t xml.StartElement) string {
	var b strings.Builder
	b.WriteString(rawName(t.Name))
	for _, a := range t.Attr {
		b.WriteString(" " + rawName(a.Name) + `="`)
		// A Builder never fails.
		_ = xml.EscapeText(&b, []byte(a.Value))
		b.WriteString(`"`)
	}
	return b.String()
}

func writeTag(out *strings.Builder, raw, before, after string, empty bool) {
	switch {
	case before == after:
		out.WriteString(raw)
	case empty:
		out.WriteString("<" + after + "/>")
	default:
		out.WriteString("<" + after + ">")
	}
}
