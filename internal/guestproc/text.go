// Package guestproc reads what a Linux guest's /proc says, and a few small
// files of its root. The texts come from inside the guest, where anybody may
// have written them: nothing in them is believed to be well formed. It knows
// nothing of how the texts are come by.
package guestproc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// ErrFormat says that a text is not what its file holds on Linux.
var ErrFormat = errors.New("the guest's answer is not understood")

func errFormat(file string) error { return fmt.Errorf("%w: /proc/%s", ErrFormat, file) }

// maxText bounds each name that is passed on, in bytes.
const maxText = 4096

// printable makes a guest's text fit for terminals and XML: what is not
// printable becomes '?'.
func printable(text string) string {
	text = text[:min(len(text), maxText)]
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// numbers reads the fields of a line that are all decimal.
func numbers(fields []string) ([]uint64, bool) {
	values := make([]uint64, len(fields))
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return nil, false
		}
		values[i] = n
	}
	return values, true
}

// Line is the first line of a file that holds one, such as
// /proc/sys/kernel/hostname.
func Line(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return printable(strings.TrimSpace(line))
}
