package driver

import (
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func TestGuestInfo(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	get := func(dom libvirt.Domain, types uint32) (string, error) {
		ret, err := c.DomainGetGuestInfo(t.Context(), &libvirt.DomainGetGuestInfoArgs{Dom: dom, Types: types})
		if err != nil {
			return "", err
		}
		return strings.Join(values(ret.Params), " "), nil
	}
	groups := map[libvirt.DomainGuestInfoTypes]string{
		libvirt.DomainGuestInfoOs:       "os.id=fake os.pretty-name=A fake os.kernel-release=6.1.0 os.kernel-version=#1 now",
		libvirt.DomainGuestInfoTimezone: "timezone.name=Etc/UTC timezone.offset=0",
		libvirt.DomainGuestInfoHostname: "hostname=fake",
		libvirt.DomainGuestInfoFilesystem: "fs.count=4 fs.0.mountpoint=/ fs.0.name=ubda fs.0.fstype=ext4 fs.0.disk.count=1 fs.0.disk.0.alias=ubd0 fs.0.disk.0.device=/dev/ubda" +
			" fs.1.mountpoint=/d fs.1.name=ubdb2 fs.1.fstype=ext4 fs.1.disk.count=1 fs.1.disk.0.alias=ubd1 fs.1.disk.0.device=/dev/ubdb2" +
			" fs.2.mountpoint=/h fs.2.name=none fs.2.fstype=hostfs fs.2.disk.count=0 fs.3.mountpoint=/o fs.3.name=odd fs.3.fstype=ext4 fs.3.disk.count=0",
		libvirt.DomainGuestInfoDisks:      "disk.count=1 disk.0.name=/dev/ubda disk.0.partition=0 disk.0.alias=ubd0",
		libvirt.DomainGuestInfoInterfaces: "if.count=1 if.0.name=vec0 if.0.hwaddr=52:54:00:00:00:01",
		libvirt.DomainGuestInfoLoad:       "load.1m=0.5 load.5m=0.25 load.15m=1",
	}
	all, err := get(on, 0)
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range groups {
		if got, err := get(on, uint32(kind)); got != want || err != nil {
			t.Errorf("group %d: %q, %v\nwant %q", kind, got, err, want)
		}
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in %q", want, all)
		}
	}
	if _, err := get(on, uint32(libvirt.DomainGuestInfoUsers)); !virerr.Is(err, libvirt.ErrArgumentUnsupported) {
		t.Errorf("users: %v", err)
	}
	if _, err := get(off, 0); !virerr.Is(err, libvirt.ErrOperationInvalid) {
		t.Errorf("of an inactive domain: %v", err)
	}
}

// TestNotInGuests checks what a guest without agent, NMI and screen refuses,
// and that one which does not run is told first.
func TestNotInGuests(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	for _, tt := range []struct {
		dom  libvirt.Domain
		code libvirt.ErrorNumber
	}{{on, libvirt.ErrOperationUnsupported}, {off, libvirt.ErrOperationInvalid}} {
		if err := c.DomainInjectNmi(t.Context(), &libvirt.DomainInjectNmiArgs{Dom: tt.dom}); !virerr.Is(err, tt.code) {
			t.Errorf("NMI to %s: %v", tt.dom.Name, err)
		}
		if err := c.DomainSetTime(t.Context(), &libvirt.DomainSetTimeArgs{Dom: tt.dom}); !virerr.Is(err, tt.code) {
			t.Errorf("time of %s: %v", tt.dom.Name, err)
		}
	}
}

func TestHostnameAndTime(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	for flags, code := range map[libvirt.DomainGetHostnameFlags]libvirt.ErrorNumber{
		0: libvirt.ErrOk, libvirt.DomainGetHostnameAgent: libvirt.ErrOk, libvirt.DomainGetHostnameLease: libvirt.ErrArgumentUnsupported,
		4: libvirt.ErrInvalidArg,
	} {
		ret, err := c.DomainGetHostname(t.Context(), &libvirt.DomainGetHostnameArgs{Dom: on, Flags: flags})
		switch {
		case code != libvirt.ErrOk && !virerr.Is(err, code):
			t.Errorf("flags %d: %v, want code %d", flags, err, code)
		case code == libvirt.ErrOk && (err != nil || ret.Hostname != "fake"):
			t.Errorf("flags %d: %+v, %v", flags, ret, err)
		}
	}
	ret, err := c.DomainGetTime(t.Context(), &libvirt.DomainGetTimeArgs{Dom: on})
	if want := (&libvirt.DomainGetTimeRet{Seconds: 7, Nseconds: 11}); err != nil || !reflect.DeepEqual(ret, want) {
		t.Errorf("%+v, %v; want %+v", ret, err, want)
	}
	if _, err := c.DomainGetTime(t.Context(), &libvirt.DomainGetTimeArgs{Dom: off}); !virerr.Is(err, libvirt.ErrOperationInvalid) {
		t.Errorf("of an inactive domain: %v", err)
	}
}
