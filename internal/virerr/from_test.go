package virerr_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func TestFrom(t *testing.T) {
	bare := virerr.New(libvirt.ErrNoDomain, "no domain 'x'")
	for _, test := range []struct {
		err  error
		code libvirt.ErrorNumber
		text string
	}{
		{bare, libvirt.ErrNoDomain, "Domain not found: no domain 'x'"},
		{fmt.Errorf("disk ubd0: %w", bare), libvirt.ErrNoDomain, "disk ubd0: Domain not found: no domain 'x'"},
		{fmt.Errorf("cannot write x: %w", syscall.ENOSPC), libvirt.ErrSystemError, "cannot write x: no space left on device"},
		{errors.New("plain"), libvirt.ErrInternalError, "internal error: plain"},
	} {
		got := virerr.From(test.err)
		if got.Code != test.code || got.Error() != test.text {
			t.Errorf("From(%v) is %d %q, want %d %q", test.err, got.Code, got, test.code, test.text)
		}
	}
	if virerr.From(nil) != nil {
		t.Error("From(nil) is an error")
	}
}
