package store

import (
	"errors"
	"fmt"
	"strings"
)

const (
	suffix = ".xml"
	// nameMax is Linux's longest file name in bytes (limits.h, NAME_MAX).
	nameMax = 255
)

// errName is the root of every refusal of a domain's name.
var errName = errors.New("the name cannot be a file name")

// FileName is the file of the definition called name. The suffix keeps "." and
// ".." from being folders; os.Root would refuse what got past.
func FileName(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: it is empty", errName)
	case strings.ContainsAny(name, "/\x00\n"):
		return "", fmt.Errorf("%w: %q holds a slash, a newline or a zero byte", errName, name)
	case len(name)+len(suffix) > nameMax:
		return "", fmt.Errorf("%w: it is %d bytes long, at most %d are possible", errName, len(name), nameMax-len(suffix))
	}
	return name + suffix, nil
}

// domainName is the reverse of fileName; ok is false for files that hold no
// domain.
func domainName(file string) (name string, ok bool) {
	name, ok = strings.CutSuffix(file, suffix)
	return name, ok && name != ""
}
