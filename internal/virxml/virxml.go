// Package virxml writes XML as libvirt writes it, so that people, scripts and
// diffs see the form they know: single quotes, two spaces of indentation,
// "<a/>" for empty elements, a newline at the end. It knows nothing of what the
// documents mean.
package virxml

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// Marshal writes v, a tree that encoding/xml can write. metadata is what v has
// in the <metadata> child of its root as raw XML (",innerxml"); it is copied
// byte for byte.
func Marshal(v any, metadata string) (string, error) {
	compact, err := xml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("writing XML: %w", err)
	}
	p := printer{in: compact, out: make([]byte, 0, len(compact)+len(compact)/2), metadata: metadata}
	p.run()
	return string(p.out), nil
}

// printer restyles the output of encoding/xml, which has no white space
// between elements, double quotes, and never an empty-element tag.
type printer struct {
	in       []byte
	out      []byte
	metadata string // the content of <metadata>, copied as it is
	depth    int
	text     bool // text was written last: the end tag follows directly
}

func (p *printer) run() {
	for len(p.in) > 0 {
		switch {
		case bytes.HasPrefix(p.in, []byte("</")):
			p.depth--
			p.endTag()
		case p.in[0] == '<':
			p.startTag()
		default:
			p.characters()
		}
	}
	p.out = append(p.out, '\n')
}

// take removes the first n bytes of the input.
func (p *printer) take(n int) []byte {
	taken := p.in[:n]
	p.in = p.in[n:]
	return taken
}

func (p *printer) indent() {
	if len(p.out) > 0 {
		p.out = append(p.out, '\n')
	}
	for range p.depth {
		p.out = append(p.out, "  "...)
	}
}

func (p *printer) endTag() {
	if !p.text {
		p.indent()
	}
	p.text = false
	p.out = append(p.out, p.take(bytes.IndexByte(p.in, '>')+1)...)
}

// startTag copies a tag. encoding/xml escapes '>' in values, so that the first
// one ends the tag.
func (p *printer) startTag() {
	p.indent()
	tag := p.take(bytes.IndexByte(p.in, '>') + 1)
	tag = tag[:len(tag)-1]
	p.escape(tag, '\'')
	if p.depth == 1 && string(tag) == "<metadata" {
		p.take(len(p.metadata))
		p.out = append(append(append(p.out, '>'), p.metadata...), p.take(len("</metadata>"))...)
		return
	}
	if bytes.HasPrefix(p.in, []byte("</")) {
		p.take(bytes.IndexByte(p.in, '>') + 1)
		p.out = append(p.out, "/>"...)
		return
	}
	p.out = append(p.out, '>')
	p.depth++
}

func (p *printer) characters() {
	end := bytes.IndexByte(p.in, '<')
	p.escape(p.take(end), 0)
	p.text = true
}

// escape copies s with libvirt's names for encoding/xml's character
// references. quote, when not 0, replaces the quotes around attribute values;
// outside of values, line ends and tabs need no reference.
func (p *printer) escape(s []byte, quote byte) {
	for len(s) > 0 {
		switch {
		case s[0] == '"' && quote != 0:
			p.out = append(p.out, quote)
			s = s[1:]
		case s[0] == '&':
			end := bytes.IndexByte(s, ';') + 1
			p.out = append(p.out, reference(string(s[:end]), quote != 0)...)
			s = s[end:]
		default:
			p.out = append(p.out, s[0])
			s = s[1:]
		}
	}
}

// reference is libvirt's spelling of a character reference of encoding/xml.
func reference(ref string, inTag bool) string {
	switch {
	case ref == "&#34;":
		return "&quot;"
	case ref == "&#39;":
		return "&apos;"
	case ref == "&#xA;" && !inTag:
		return "\n"
	case ref == "&#x9;" && !inTag:
		return "\t"
	}
	return ref
}
