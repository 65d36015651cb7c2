package domxml

import (
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const twoDisks = `<disk type='file'><source file='/root.img'/><target dev='ubd0'/></disk>
<disk type='file'><source file='/data.img'/><target dev='ubdb'/><alias name='ua-data'/></disk>`

func diskOf(t *testing.T, document string) *Device {
	t.Helper()
	dev, err := ParseDevice([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if !dev.IsDisk() {
		t.Fatalf("%s is a %s", document, dev.Kind)
	}
	return dev
}

func errorCode(err error) libvirt.ErrorNumber {
	if e := virerr.From(err); e != nil {
		return e.Code
	}
	return 0
}

func TestDiskEdits(t *testing.T) {
	def, err := Parse([]byte(domain("", twoDisks)))
	if err != nil {
		t.Fatal(err)
	}
	// What virsh attach-disk writes.
	added, err := def.WithDisk(diskOf(t, `<disk type='block'><driver name='uml' type='cow' cache='writethrough'/>
<source dev='/dev/vg/x'/><target dev='ubd3'/><readonly/><serial>abc</serial></disk>`))
	if err != nil {
		t.Fatal(err)
	}
	disk, found := added.DiskByUnit(3)
	want := Disk{Target: "ubd3", Alias: "ubd3", Unit: 3, Path: "/dev/vg/x", Block: true, COW: true, FormatGiven: true, ReadOnly: true, Sync: true, Serial: "abc"}
	if !found || disk != want {
		t.Errorf("added %+v, want %+v", disk, want)
	}
	again, err := added.WithoutDisk(3)
	if err != nil {
		t.Fatal(err)
	}
	if again.XML(true) != def.XML(true) {
		t.Errorf("added and taken away again:\n%s\nbefore:\n%s", again.XML(true), def.XML(true))
	}
	// The alias of a live document is not the user's own.
	updated, err := def.WithDiskUpdate(diskOf(t, `<disk type='file'><source file='/other.img'/><target dev='ubd1'/><readonly/><alias name='ubd1'/></disk>`))
	if err != nil {
		t.Fatal(err)
	}
	disk, _ = updated.DiskByAlias("ua-data")
	if disk.Path != "/other.img" || !disk.ReadOnly || disk.Target != "ubdb" || disk.Unit != 1 {
		t.Errorf("updated: %+v", disk)
	}
}

func TestDiskEditsRefused(t *testing.T) {
	def, err := Parse([]byte(domain("", twoDisks)))
	if err != nil {
		t.Fatal(err)
	}
	attach := func(dev *Device) error { _, err := def.WithDisk(dev); return err }
	match := func(dev *Device) error { _, err := def.MatchDisk(dev); return err }
	update := func(dev *Device) error { _, err := def.WithDiskUpdate(dev); return err }
	for _, tt := range []struct {
		name     string
		do       func(*Device) error
		document string
		code     libvirt.ErrorNumber
		text     string
	}{
		{"same target", attach, `<disk type='file'><source file='/x'/><target dev='ubdb'/></disk>`, libvirt.ErrOperationInvalid, "target ubdb already exists"},
		{"same unit", attach, `<disk type='file'><source file='/x'/><target dev='vdb'/></disk>`, libvirt.ErrOperationInvalid, "as 'ubdb' is"},
		{"same source", attach, `<disk type='file'><source file='/data.img'/><target dev='ubd2'/></disk>`, libvirt.ErrXMLError, "have the same source"},
		{"no source", attach, `<disk type='file'><target dev='ubd2'/></disk>`, libvirt.ErrorNumber(19), "missing source information for device ubd2"},
		{"cdrom", attach, `<disk type='file' device='cdrom'><source file='/x'/><target dev='ubd2'/></disk>`, libvirt.ErrConfigUnsupported, "device='disk' with <readonly/>"},
		{"detach what is not", match, `<disk type='file'><target dev='ubd2'/></disk>`, libvirt.ErrDeviceMissing, "no target device ubd2"},
		{"update what is not", update, `<disk type='file'><source file='/x'/><target dev='ubd2'/></disk>`, libvirt.ErrDeviceMissing, "no target device ubd2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.do(diskOf(t, tt.document))
			if errorCode(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v (code %d), want %q (code %d)", err, errorCode(err), tt.text, tt.code)
			}
		})
	}
	for document, text := range map[string]string{
		`<disk type='file'><source file='/x'/></disk>`:                         "/x",
		`<disk type='file'><target dev='ubd16'/></disk>`:                       "",
		`<disk type='file'><target dev='ubd2'/></disk><disk/>`:                 "",
		`<disk type='file'><source file='/x'/><target dev='nonsense'/></disk>`: "nonsense",
	} {
		if _, err := ParseDevice([]byte(document)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", document, err)
		}
	}
}
