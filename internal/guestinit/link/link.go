// Package link is what "virtuml run" and the init of its guest say to each
// other over the guest's console: the bytes of the command's standard streams,
// with control words in between, and a window that keeps either side from
// sending more than the other takes. It knows neither consoles nor processes.
//
// A control word is the byte Escape, a letter and, for some letters, a fixed
// number of hexadecimal digits. An Escape among the data is doubled. What
// comes before Begin and after End is the kernel's and not part of it.
package link

import (
	"fmt"
	"strconv"
)

// Escape begins each control word; it is ASCII's "data link escape".
const Escape = 0x10

// Kind is the letter of a control word.
type Kind byte

// The control words. Stdout and Stderr say which stream the following data is
// of (Stdout until one comes). Ack says that another Flow.Unit bytes of data were
// taken. EOF, Resize and Signal are for the init alone: standard input has
// ended, the terminal has a new size, a signal for the command.
const (
	Begin  Kind = 'B'
	End    Kind = 'X'
	Stdout Kind = '1'
	Stderr Kind = '2'
	Ack    Kind = 'A'
	EOF    Kind = 'E'
	Resize Kind = 'W' // 4 digits of rows, 4 of columns
	Signal Kind = 'S' // 2 digits
)

// Flow is how one direction's data is limited: Window bytes may be under way
// without an Ack, each of which stands for Unit bytes.
type Flow struct{ Window, Unit int }

var (
	// Output is the command's. Doubled by escapes it still fits the 64 KiB
	// that the supervisor keeps for a console nobody reads from.
	Output = Flow{Window: 24 << 10, Unit: 4 << 10}
	// Input is for the command. Doubled by escapes, and with the other
	// words, it fits the 4 KiB that the guest's terminal holds: a User Mode
	// Linux kernel whose terminal was full once reads it no more.
	Input = Flow{Window: 1536, Unit: 512}
)

// digits is the number of hexadecimal digits after a control word's letter.
func digits(k Kind) int {
	switch k {
	case Resize:
		return 8
	case Signal:
		return 2
	default:
		return 0
	}
}

func known(k Kind) bool {
	switch k {
	case Begin, End, Stdout, Stderr, Ack, EOF, Resize, Signal:
		return true
	default:
		return false
	}
}

// AppendData appends data to dst in its form on the console.
func AppendData(dst, data []byte) []byte {
	for _, b := range data {
		if b == Escape {
			dst = append(dst, Escape)
		}
		dst = append(dst, b)
	}
	return dst
}

// AppendWord appends the control word to dst; value is its digits' number.
func AppendWord(dst []byte, k Kind, value uint32) []byte {
	dst = append(dst, Escape, byte(k))
	if n := digits(k); n > 0 {
		dst = fmt.Appendf(dst, "%0*x", n, value)
	}
	return dst
}

// Handler takes what a Decoder has found. Data is valid during the call only.
type Handler interface {
	Data(data []byte)
	Word(k Kind, value uint32)
}

// Decoder splits what comes from a console. Its zero value is ready.
type Decoder struct {
	escaped bool
	word    Kind // whose digits are awaited, or 0
	digits  []byte
}

// Feed takes the next bytes. Words that are unknown or have bad digits are
// left out: they are a newer partner's, or somebody's typing.
func (d *Decoder) Feed(p []byte, h Handler) {
	start := 0
	flush := func(end int) {
		if end > start {
			h.Data(p[start:end])
		}
	}
	for i, b := range p {
		switch {
		case d.word != 0:
			d.digit(b, h)
			start = i + 1
		case d.escaped && b == Escape:
			d.escaped = false
			start = i // the second of the two is the data
		case d.escaped:
			d.escaped = false
			start = i + 1
			d.begin(Kind(b), h)
		case b == Escape:
			flush(i)
			d.escaped = true
			start = i + 1
		}
	}
	flush(len(p))
}

func (d *Decoder) begin(k Kind, h Handler) {
	switch {
	case !known(k):
	case digits(k) == 0:
		h.Word(k, 0)
	default:
		d.word, d.digits = k, d.digits[:0]
	}
}

func (d *Decoder) digit(b byte, h Handler) {
	d.digits = append(d.digits, b)
	if len(d.digits) < digits(d.word) {
		return
	}
	k := d.word
	d.word = 0
	if value, err := strconv.ParseUint(string(d.digits), 16, 32); err == nil {
		h.Word(k, uint32(value))
	}
}
