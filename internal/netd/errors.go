package netd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// failed is an error of the network's process or of its use.
func failed(code libvirt.ErrorNumber, format string, args ...any) error {
	return virerr.In(virerr.Network, code, format, args...)
}

// notServed says that no process serves a folder; it is fs.ErrNotExist.
func notServed(dir string) error {
	return failed(libvirt.ErrOperationInvalid, "no process serves the network in %s: %w", dir, fs.ErrNotExist)
}

// late is the error at the end of ctx.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failed(libvirt.ErrOperationTimeout, "the network's process does not answer: %w", ctx.Err())
	}
	return fmt.Errorf("the network's process was not waited for: %w", ctx.Err())
}

// remote is an error that crosses the socket.
type remote struct {
	Code   libvirt.ErrorNumber
	Domain virerr.Domain
	Detail string
	Int1   int32 `json:",omitempty"`
}

func toRemote(err error) *remote {
	var typed *virerr.Error
	if !errors.As(err, &typed) && err != nil {
		err = virerr.In(virerr.Network, virerr.From(err).Code, "%w", err)
	}
	e := virerr.From(err)
	if e == nil {
		return nil
	}
	return &remote{Code: e.Code, Domain: e.Domain, Detail: e.Detail, Int1: e.Int1}
}

func (r *remote) error() error {
	if r == nil {
		return nil
	}
	e := virerr.In(r.Domain, r.Code, "%s", r.Detail)
	e.Int1 = r.Int1
	return e
}
