package xdr

import (
	"fmt"
	"strings"
)

// Error says which field could not be encoded or decoded, and why.
type Error struct {
	// Field is the path from the outermost type, as in
	// "DomainSetMetadataArgs.Key[0]".
	Field string
	// Reason is what was wrong.
	Reason string
}

func newError(format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...)}
}

// Error returns the field and the reason.
func (e *Error) Error() string { return e.Field + ": " + e.Reason }

// within puts the name of an outer struct or field before the path.
func (e *Error) within(name string) *Error {
	switch {
	case e.Field == "":
		e.Field = name
	case strings.HasPrefix(e.Field, "["):
		e.Field = name + e.Field
	default:
		e.Field = name + "." + e.Field
	}
	return e
}

// element puts a list's index before the path.
func (e *Error) element(i int) {
	index := fmt.Sprintf("[%d]", i)
	if e.Field == "" || strings.HasPrefix(e.Field, "[") {
		e.Field = index + e.Field
	} else {
		e.Field = index + "." + e.Field
	}
}
