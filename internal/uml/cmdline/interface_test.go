package cmdline_test

import (
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/uml/kernel"
	"virtumld/internal/virerr"
)

func TestDevice(t *testing.T) {
	t.Parallel()
	const mac = "52:54:00:00:00:01"
	noVector := old
	noVector.VecNet = false
	for name, tt := range map[string]struct {
		n       domxml.Interface
		caps    kernel.Caps
		want    string
		refused string
	}{
		"user": {n: domxml.Interface{Type: domxml.InterfaceUser, MAC: mac, Unit: 3}, caps: old,
			want: "transport=bess,dst=ROOT/uml/vec3,depth=128,gro=1,mac=" + mac},
		"mtu": {n: domxml.Interface{Type: domxml.InterfaceBridge, MAC: mac, MTU: 65534}, caps: old,
			want: "transport=bess,dst=ROOT/uml/vec0,depth=128,gro=1,mac=" + mac + ",mtu=65534"},
		"no vector": {n: domxml.Interface{Type: domxml.InterfaceUser, MAC: mac}, caps: noVector, refused: "CONFIG_UML_NET_VECTOR"},
		"too small": {n: domxml.Interface{Type: domxml.InterfaceUser, MAC: mac, MTU: 575}, caps: old, refused: "between 576 and 65534"},
		"too large": {n: domxml.Interface{Type: domxml.InterfaceUser, MAC: mac, MTU: 65535}, caps: old, refused: "between 576 and 65534"},
	} {
		device, err := cmdline.Device(tt.n, &tt.caps)
		switch {
		case tt.refused != "":
			if !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want CONFIG_UNSUPPORTED with %q", name, err, tt.refused)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if got := strings.ReplaceAll(device, supervisor.Root, "ROOT"); got != tt.want {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
	}
}

// Interfaces count for the length of the command line.
func TestDevicesCount(t *testing.T) {
	t.Parallel()
	def := definition(func(d *domxml.Definition) {
		for unit := range 64 {
			d.Interfaces = append(d.Interfaces, domxml.Interface{Type: domxml.InterfaceUser, MAC: "52:54:00:00:00:01", Unit: unit})
		}
	})
	if err := cmdline.Check(def, &old); !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), "bytes, more than 4095") {
		t.Error(err)
	}
	def.Interfaces = def.Interfaces[:2]
	line, err := cmdline.Build(def, &old, cmdline.Options{})
	if err != nil || len(line.Devices) != 2 || !strings.Contains(line.Devices[1], "vec1") {
		t.Errorf("%+v, %v", line, err)
	}
	def.Interfaces[1].Unit = 0
	if err := cmdline.Check(def, &old); !virerr.Is(err, libvirt.ErrConfigUnsupported) {
		t.Errorf("two of one unit: %v", err)
	}
}

// Interfaces of type vhostuser are virtio devices, in their order.
func TestVHostUser(t *testing.T) {
	t.Parallel()
	virtio := old
	virtio.VirtioUML = true
	def := definition(func(d *domxml.Definition) {
		for i, path := range []string{"/one, 1", "/two: 2"} {
			d.Interfaces = append(d.Interfaces, domxml.Interface{
				Type: domxml.InterfaceVHostUser, MAC: "52:54:00:00:00:01", Unit: domxml.FirstVirtio + i, Source: path,
			})
		}
	})
	line, err := cmdline.Build(def, &virtio, cmdline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	args := strings.ReplaceAll(strings.Join(line.Args, " "), supervisor.Root, "ROOT")
	if want := "virtio_uml.device=ROOT/uml/.eth0:1 virtio_uml.device=ROOT/uml/.eth1:1"; !strings.Contains(args, want) {
		t.Errorf("%q lacks %q", args, want)
	}
	if want := (supervisor.VirtioDevice{Name: "eth1", Backend: "/two: 2", MAC: "52:54:00:00:00:01"}); !slices.Contains(line.Virtio, want) {
		t.Errorf("%+v lack %+v", line.Virtio, want)
	}
	if err := cmdline.Check(def, &old); !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), "CONFIG_VIRTIO_UML") {
		t.Errorf("without the driver: %v", err)
	}
}
