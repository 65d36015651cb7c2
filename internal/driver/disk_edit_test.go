package driver

import (
	"context"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// openDisk is the source of a disk that fakeGuest refuses to give away.
const openDisk = "/root.img"

func (g *fakeGuest) AttachDisk(context.Context, domxml.Disk) error { return nil }
func (g *fakeGuest) DetachDisk(_ context.Context, disk domxml.Disk) error {
	if disk.Path == openDisk {
		return virerr.New(libvirt.ErrOperationFailed, "is in use")
	}
	return nil
}

const newDisk = "<disk type='file'><source file='/new.img'/><target dev='ubd2'/></disk>"

func TestDisksOnBothSides(t *testing.T) {
	for name, flags := range map[string]libvirt.DomainModificationImpact{
		"current": libvirt.DomainAffectCurrent, "live": libvirt.DomainAffectLive,
		"config": libvirt.DomainAffectConfig, "both": libvirt.DomainAffectLive | libvirt.DomainAffectConfig,
	} {
		t.Run(name, func(t *testing.T) {
			c, _, on, _ := domainConn(t, nil)
			has := func(source string) (live, inactive bool) {
				return strings.Contains(document(t, c, on, 0), source), strings.Contains(document(t, c, on, libvirt.DomainXMLInactive), source)
			}
			check := func(what, source string, there bool) {
				t.Helper()
				wantLive := (flags == 0 || flags&libvirt.DomainAffectLive != 0) == there
				wantInactive := (flags&libvirt.DomainAffectConfig != 0) == there
				if live, inactive := has(source); there && (live != wantLive || inactive != wantInactive) || !there && (live || inactive) {
					t.Errorf("%s: live %t, inactive %t", what, live, inactive)
				}
			}
			dom, ctx := on, t.Context()
			if err := c.DomainAttachDeviceFlags(ctx, &libvirt.DomainAttachDeviceFlagsArgs{Dom: dom, XML: newDisk, Flags: uint32(flags)}); err != nil {
				t.Fatal(err)
			}
			check("attached", "/new.img", true)
			changed := strings.Replace(newDisk, "/new.img", "/changed.img", 1)
			if err := c.DomainUpdateDeviceFlags(ctx, &libvirt.DomainUpdateDeviceFlagsArgs{Dom: dom, XML: changed, Flags: libvirt.DomainDeviceModifyFlags(flags)}); err != nil {
				t.Fatal(err)
			}
			check("updated", "/changed.img", true)
			check("updated", "/new.img", false)
			if err := c.DomainDetachDeviceAlias(ctx, &libvirt.DomainDetachDeviceAliasArgs{Dom: dom, Alias: "ubd2", Flags: uint32(flags)}); err != nil {
				t.Fatal(err)
			}
			check("detached", "/changed.img", false)
		})
	}
}

// What is refused changes neither side.
func TestDisksRefused(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	ctx := t.Context()
	const both = uint32(libvirt.DomainAffectLive | libvirt.DomainAffectConfig)
	attach := func(dom libvirt.Domain, document string) error {
		return c.DomainAttachDeviceFlags(ctx, &libvirt.DomainAttachDeviceFlagsArgs{Dom: dom, XML: document, Flags: both})
	}
	detach := func(document string) error {
		return c.DomainDetachDeviceFlags(ctx, &libvirt.DomainDetachDeviceFlagsArgs{Dom: on, XML: document, Flags: both})
	}
	update := func(document string) error {
		return c.DomainUpdateDeviceFlags(ctx, &libvirt.DomainUpdateDeviceFlagsArgs{Dom: on, XML: document, Flags: libvirt.DomainDeviceModifyFlags(both)})
	}
	rootDisk := "<disk type='file'><source file='/root.img'/><target dev='ubd0'/></disk>"
	before, inactive := document(t, c, on, 0), document(t, c, on, libvirt.DomainXMLInactive)
	for _, tt := range []struct {
		text string
		code libvirt.ErrorNumber
		err  error
	}{
		{"domain is not running", libvirt.ErrOperationInvalid, attach(off, newDisk)},
		{"target ubd0 already exists", libvirt.ErrOperationInvalid, attach(on, rootDisk)},
		{"missing target information", libvirt.ErrNoTarget, attach(on, "<disk/>")},
		{"no target device ubd2", libvirt.ErrDeviceMissing, detach(newDisk)},
		{"is in use", libvirt.ErrOperationFailed, detach(rootDisk)},
		{"is in use", libvirt.ErrOperationFailed, update(strings.Replace(rootDisk, "/root.img", "/other.img", 1))},
		{"no device found with alias 'ubd7'", libvirt.ErrDeviceMissing,
			c.DomainDetachDeviceAlias(ctx, &libvirt.DomainDetachDeviceAliasArgs{Dom: on, Alias: "ubd7", Flags: both})},
	} {
		if !virerr.Is(tt.err, tt.code) || !strings.Contains(tt.err.Error(), tt.text) {
			t.Errorf("got %v, want code %d and %q", tt.err, tt.code, tt.text)
		}
	}
	if document(t, c, on, 0) != before || document(t, c, on, libvirt.DomainXMLInactive) != inactive {
		t.Error("a refused change has changed the domain")
	}
}
