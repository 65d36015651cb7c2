package networkxml

import (
	"fmt"
	"net/netip"
	"strings"
)

// writer writes elements in libvirt's style (src/util/virbuffer.c): two spaces
// of indentation, single quotes. Package virxml cannot: here some elements
// have two tags even when they are empty, and others one.
type writer struct {
	out   strings.Builder
	depth int
}

// attr is an attribute; one with an empty value is left out.
type attr struct{ name, value string }

// escaper writes characters as libvirt does (virBufferEscapeString); what a
// reader would make a space of gets a reference.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", "\"", "&quot;", "\r", "&#xD;")

var attrEscaper = strings.NewReplacer("\n", "&#xA;", "\t", "&#x9;")

func (w *writer) tag(name string, attrs []attr, end string) {
	w.out.WriteString(strings.Repeat("  ", w.depth) + "<" + name)
	for _, a := range attrs {
		if a.value != "" {
			fmt.Fprintf(&w.out, " %s='%s'", a.name, attrEscaper.Replace(escaper.Replace(a.value)))
		}
	}
	w.out.WriteString(end)
}

// empty writes an element without content.
func (w *writer) empty(name string, attrs ...attr) { w.tag(name, attrs, "/>\n") }

// text writes an element with text, unless that is empty.
func (w *writer) text(name, text string) {
	if text != "" {
		w.tag(name, nil, ">"+escaper.Replace(text)+"</"+name+">\n")
	}
}

// element writes an element with the content that content writes.
func (w *writer) element(name string, attrs []attr, content func()) {
	w.tag(name, attrs, ">\n")
	w.depth++
	content()
	w.depth--
	w.out.WriteString(strings.Repeat("  ", w.depth) + "</" + name + ">\n")
}

// number is a value that is left out when it is 0.
func number[T ~uint | ~uint64](v T) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprint(v)
}

// address is a value that is left out when it is none.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// yes is a value that is left out when it is false.
func yes(on bool) string {
	if on {
		return Yes
	}
	return ""
}
