package tap

import (
	"errors"
	"io"
)

// Open opens the device and returns it with its name. Each Read takes one
// frame, each Write sends one; a Write that would have to wait fails. Close
// ends a Read that waits and removes what Open has made. The error is a
// *virerr.Error.
func Open(cfg Config) (io.ReadWriteCloser, string, error) {
	return nil, "", errors.New("not built yet")
}

// SetLink sets the state of a device's link.
func SetLink(name string, up bool) error { return errors.New("not built yet") }
