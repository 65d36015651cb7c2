package config

import (
	"fmt"
	"math"
	"strings"
)

// A setting is one "key = value" of the file.
type setting struct {
	key   string
	value value
	line  int
}

// A value is a string, a number or a list of strings.
type value struct {
	kind   kind
	text   string
	number int64
	list   []string
}

type kind string

const (
	kindString kind = "a string in quotes"
	kindNumber kind = "a number"
	kindList   kind = "a list of strings in [ ]"
)

// A syntaxError is a fault of the file's text.
type syntaxError struct {
	line int
	text string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// parser reads the syntax of libvirtd.conf: one key = value a line, comments
// from # to the end of the line, strings in single, double or triple double
// quotes without escapes, lists over any number of lines.
type parser struct {
	text string // what is left
	line int
}

// parse splits a file into its settings, in the file's order.
func parse(text string) ([]setting, error) {
	p := &parser{text: text, line: 1}
	var settings []setting
	for {
		p.skipSpace(true)
		if p.text == "" {
			return settings, nil
		}
		s, err := p.setting()
		if err != nil {
			return nil, err
		}
		settings = append(settings, s)
	}
}

func (p *parser) fail(format string, args ...any) error {
	return &syntaxError{line: p.line, text: fmt.Sprintf(format, args...)}
}

// advance moves past n bytes and counts their lines.
func (p *parser) advance(n int) string {
	passed := p.text[:n]
	p.line += strings.Count(passed, "\n")
	p.text = p.text[n:]
	return passed
}

// skipSpace skips blanks and comments, and with lines also ends of lines.
func (p *parser) skipSpace(lines bool) {
	for p.text != "" {
		switch c := p.text[0]; {
		case c == ' ' || c == '\t' || c == '\r':
			p.advance(1)
		case c == '\n' && lines:
			p.advance(1)
		case c == '#':
			p.advance(len(upTo(p.text, "\n")))
		default:
			return
		}
	}
}

// upTo returns the text before the first end, or all of it.
func upTo(text, end string) string {
	before, _, _ := strings.Cut(text, end)
	return before
}

func (p *parser) accept(token string) bool {
	if !strings.HasPrefix(p.text, token) {
		return false
	}
	p.advance(len(token))
	return true
}

func (p *parser) setting() (setting, error) {
	s := setting{line: p.line}
	n := 0
	for n < len(p.text) && isKeyByte(p.text[n], n == 0) {
		n++
	}
	if n == 0 {
		return s, p.fail("expected a key, found %q", upTo(p.text, "\n"))
	}
	s.key = p.advance(n)
	p.skipSpace(false)
	if !p.accept("=") {
		return s, p.fail("expected = after %s", s.key)
	}
	p.skipSpace(false)
	var err error
	if s.value, err = p.value(); err != nil {
		return s, err
	}
	p.skipSpace(false)
	if p.text != "" && p.text[0] != '\n' {
		return s, p.fail("unexpected %q after the value of %s", upTo(p.text, "\n"), s.key)
	}
	return s, nil
}

func isKeyByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return true
	default:
		return !first && (c == '_' || c >= '0' && c <= '9')
	}
}

func (p *parser) value() (value, error) {
	switch {
	case p.accept("["):
		list, err := p.list()
		return value{kind: kindList, list: list}, err
	case strings.HasPrefix(p.text, `"`), strings.HasPrefix(p.text, `'`):
		text, err := p.quoted()
		return value{kind: kindString, text: text}, err
	default:
		n, err := p.number()
		return value{kind: kindNumber, number: n}, err
	}
}

func (p *parser) list() ([]string, error) {
	list := []string{}
	for {
		p.skipSpace(true)
		if p.accept("]") {
			return list, nil
		}
		if !strings.HasPrefix(p.text, `"`) && !strings.HasPrefix(p.text, `'`) {
			return nil, p.fail("expected a string in quotes or ] in the list")
		}
		item, err := p.quoted()
		if err != nil {
			return nil, err
		}
		list = append(list, item)
		p.skipSpace(true)
		if !p.accept(",") && !strings.HasPrefix(p.text, "]") {
			return nil, p.fail("expected , or ] in the list")
		}
	}
}

func (p *parser) quoted() (string, error) {
	quote := p.text[:1]
	if strings.HasPrefix(p.text, `"""`) {
		quote = `"""`
	}
	text, _, closed := strings.Cut(p.text[len(quote):], quote)
	if !closed || len(quote) == 1 && strings.Contains(text, "\n") {
		return "", p.fail("the string has no closing %s", quote)
	}
	if strings.ContainsRune(text, 0) {
		return "", p.fail("the string has a zero byte in it")
	}
	p.advance(len(text) + 2*len(quote))
	return text, nil
}

func (p *parser) number() (int64, error) {
	negative := p.accept("-")
	if !negative {
		p.accept("+")
	}
	n, digits := int64(0), 0
	for digits < len(p.text) && p.text[digits] >= '0' && p.text[digits] <= '9' {
		digit := int64(p.text[digits] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, p.fail("the number is too large")
		}
		n = n*10 + digit
		digits++
	}
	if digits == 0 {
		return 0, p.fail(`expected a value: a number, a string in quotes, or a list in [ ]`)
	}
	p.advance(digits)
	if negative {
		n = -n
	}
	return n, nil
}
