// Package virerr is the one error type that reaches a libvirt client: a code,
// a domain (the subsystem that speaks) and a text. It is made where the cause
// is known and wrapped with %w on the way up; package dispatch turns it into
// an error reply. It knows nothing of the wire or of domains.
package virerr

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
)

// Domain is libvirt's virErrorDomain: which part of libvirt speaks
// (include/libvirt/virterror.h).
type Domain int32

// The domains that virtumld answers with.
const (
	None      Domain = 0
	XML       Domain = 5
	Dom       Domain = 6
	RPC       Domain = 7
	Conf      Domain = 9
	Remote    Domain = 13
	Storage   Domain = 18
	Network   Domain = 19
	Virt      Domain = 20 // VIR_FROM_DOMAIN: the domain API itself
	UML       Domain = 21
	NodeDev   Domain = 22
	Interface Domain = 26
	Secret    Domain = 30
	NWFilter  Domain = 33
	Snapshot  Domain = 35
	Streams   Domain = 38
	Event     Domain = 40
	URI       Domain = 45
	Auth      Domain = 46
)

// Error is an error with libvirt's code and domain.
type Error struct {
	// Code is libvirt's virErrorNumber.
	Code libvirt.ErrorNumber
	// Domain is the subsystem that speaks.
	Domain Domain
	// Detail is the text after libvirt's fixed prefix for Code.
	Detail string
	// Int1 is the errno when Code is ErrSystemError, else 0.
	Int1 int32

	cause error
	text  string // the complete text, when context was wrapped around it
}

// New makes an Error of domain Virt. A %w in format is kept for errors.Is and
// errors.As.
func New(code libvirt.ErrorNumber, format string, args ...any) *Error {
	return In(Virt, code, format, args...)
}

// In makes an Error of the given domain.
func In(domain Domain, code libvirt.ErrorNumber, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	e := &Error{Code: code, Domain: domain, Detail: wrapped.Error(), cause: errors.Unwrap(wrapped)}
	var errno syscall.Errno
	if code == libvirt.ErrSystemError && errors.As(wrapped, &errno) {
		e.Int1 = int32(errno)
	}
	return e
}

// Error returns the complete text as clients print it: libvirt's text for the
// code with the detail in it.
func (e *Error) Error() string {
	if e.text != "" {
		return e.text
	}
	return strings.Replace(e.Format(), "%s", e.Detail, 1)
}

// Unwrap returns what the error was made from, or nil.
func (e *Error) Unwrap() error { return e.cause }

// From returns the Error in err's chain, with the context that was wrapped
// around it in its text. Without one, what the operating system has refused is
// a system error, and anything else an internal error. It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		code := libvirt.ErrInternalError
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			code = libvirt.ErrSystemError
		}
		return In(UML, code, "%w", err)
	}
	if text := err.Error(); text != e.Error() {
		wrapped := *e
		wrapped.text = text
		return &wrapped
	}
	return e
}

// Is reports whether err carries the libvirt code.
func Is(err error, code libvirt.ErrorNumber) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
