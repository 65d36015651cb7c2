package driver

import (
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func TestSendKey(t *testing.T) {
	for _, tt := range []struct {
		codeset libvirt.KeycodeSet
		keys    []uint32
		want    string
		code    libvirt.ErrorNumber
	}{
		{0, []uint32{56, 99, 35}, "h", libvirt.ErrOk},
		{0, []uint32{100, 99, 31, 22, 48}, "sub", libvirt.ErrOk},
		{0, []uint32{99, 56, 10}, "9", libvirt.ErrOk},
		{0, []uint32{56, 35}, "", libvirt.ErrOperationUnsupported},
		{0, []uint32{99, 35}, "", libvirt.ErrOperationUnsupported},
		{0, []uint32{56, 99}, "", libvirt.ErrOperationUnsupported},
		{0, []uint32{29, 56, 111}, "", libvirt.ErrOperationUnsupported},
		{0, []uint32{56, 99, 57}, "", libvirt.ErrOperationUnsupported},
		{0, []uint32{56, 99, 1 << 31}, "", libvirt.ErrOperationUnsupported},
		{0, []uint32{56, 99, 31, 20}, "", libvirt.ErrOperationUnsupported}, // T
		{0, nil, "", libvirt.ErrOperationUnsupported},
		{1, []uint32{56, 99, 35}, "", libvirt.ErrOperationUnsupported},
	} {
		c, machine, on, off := domainConn(t, nil)
		send := func(dom libvirt.Domain) error {
			return c.DomainSendKey(t.Context(), &libvirt.DomainSendKeyArgs{Dom: dom, Codeset: uint32(tt.codeset), Keycodes: tt.keys})
		}
		err := send(on)
		if string(machine.sysrq) != tt.want || tt.code == libvirt.ErrOk && err != nil || tt.code != libvirt.ErrOk && !virerr.Is(err, tt.code) {
			t.Errorf("%v: sent %q, %v; want %q, code %d", tt.keys, machine.sysrq, err, tt.want, tt.code)
		}
		if err := send(off); tt.code == libvirt.ErrOk && !virerr.Is(err, libvirt.ErrOperationInvalid) {
			t.Errorf("to an inactive domain: %v", err)
		}
	}
}

func TestScreenshot(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	for dom, code := range map[*libvirt.Domain]libvirt.ErrorNumber{&on: libvirt.ErrOperationUnsupported, &off: libvirt.ErrOperationInvalid} {
		if _, err := c.DomainScreenshot(t.Context(), &libvirt.DomainScreenshotArgs{Dom: *dom}); !virerr.Is(err, code) {
			t.Errorf("%s: %v, want code %d", dom.Name, err, code)
		}
	}
}
