package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// A raw volume from its making to its end.
func TestRawVolume(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := pool(d, "p")
		path := filepath.Join(target, "v.img")
		d.OK("vol-create-as", "p", "v.img", "10M", "--allocation", "0")
		d.Refused("storage volume 'v.img' exists already", "vol-create-as", "p", "v.img", "1M")
		for command, want := range map[string]string{
			"vol-path v.img p":        path,
			"vol-key v.img p":         path,
			"vol-name " + path:        "v.img",
			"vol-pool " + path:        "p",
			"vol-pool --uuid " + path: d.OK("pool-uuid", "p"),
		} {
			if got := d.OK(strings.Fields(command)...); got != want {
				t.Errorf("%s: %q, want %q", command, got, want)
			}
		}
		info := fields(d, "vol-info", "v.img", "p", "--bytes")
		if info["Type"] != "file" || info["Capacity"] != "10485760 bytes" || info["Allocation"] != "0 bytes" {
			t.Errorf("vol-info: %q", info)
		}
		if got := fields(d, "vol-info", path, "--bytes", "--physical")["Physical"]; got != "10485760 bytes" {
			t.Errorf("physical: %q", got)
		}
		if xml := d.OK("vol-dumpxml", path); !strings.Contains(xml, "<format type='raw'/>") || !strings.Contains(xml, "<capacity unit='bytes'>10485760</capacity>") {
			t.Errorf("the document:\n%s", xml)
		}
		if out := d.OK("vol-list", "p", "--details"); !strings.Contains(out, "10.00 MiB") {
			t.Errorf("vol-list --details:\n%s", out)
		}

		d.OK("vol-resize", path, "20M")
		d.OK("vol-resize", path, "1M", "--delta")
		d.Refused("shrink", "vol-resize", path, "5M")
		d.OK("vol-resize", path, "5M", "--shrink")
		d.OK("vol-resize", path, "1M", "--delta", "--shrink")
		if got := bytesOf(d, "Capacity", path); got != "4194304 bytes" {
			t.Errorf("capacity after resizing: %q", got)
		}
		d.OK("vol-resize", path, "6M", "--allocate")
		if got := allocated(t, path); got < 6<<20 {
			t.Errorf("%d bytes are allocated", got)
		}

		d.OK("vol-upload", path, d.File("data", "secret"))
		d.OK("vol-wipe", path)
		if got := read(t, path); len(got) != 6<<20 || strings.Trim(got, "\x00") != "" {
			t.Errorf("%d bytes after wiping, begins with %.10q", len(got), got)
		}

		d.OK("vol-delete", path)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file of a deleted volume: %v", err)
		}
		wants(t, "volumes", d.Lines("vol-list", "p")[2:])
	})
}

func TestVolumeClone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := pool(d, "p")
		other := pool(d, "other")
		d.OK("vol-create-as", "p", "v", "1M")
		d.OK("vol-upload", "v", d.File("data", "content"), "--pool", "p")
		d.OK("vol-clone", "v", "copy", "--pool", "p")
		d.OK("vol-create-from", "other", d.File("v.xml", "<volume><name>far</name><capacity>0</capacity></volume>"), "v", "--inputpool", "p")
		want := read(t, filepath.Join(target, "v"))
		for _, path := range []string{filepath.Join(target, "copy"), filepath.Join(other, "far")} {
			if read(t, path) != want {
				t.Errorf("%s is no copy", path)
			}
		}
		d.Refused("already in use", "vol-clone", "v", "copy", "--pool", "p")
	})
}

// Names that are no file of the pool are refused, and make nothing.
func TestVolumeNames(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := pool(d, "p")
		for _, name := range []string{"../out", "a/b", "..", ".", "/abs", "a\nb", strings.Repeat("n", 256)} {
			if r := d.Virsh("vol-create-as", "p", name, "1M"); r.Code == 0 {
				t.Errorf("a volume called %q was made", name)
			}
		}
		entries, err := os.ReadDir(target)
		if err != nil || len(entries) > 0 {
			t.Errorf("the folder has %v, %v", entries, err)
		}
	})
}

// Linked clones: small, with the backing file's size and content.
func TestCOWVolume(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := pool(d, "p")
		base, clone := filepath.Join(target, "base"), filepath.Join(target, "clone")
		d.OK("vol-create-as", "p", "base", "1G", "--allocation", "0")
		d.OK("vol-upload", base, d.File("data", "of the base"))
		d.OK("vol-create-as", "p", "clone", "1G", "--format", "cow", "--backing-vol", "base", "--backing-vol-format", "raw")
		if got := bytesOf(d, "Capacity", clone); got != "1073741824 bytes" {
			t.Errorf("the clone's capacity: %q", got)
		}
		if got := allocated(t, clone); got > 2<<20 {
			t.Errorf("the clone takes %d bytes", got)
		}
		xml := d.OK("vol-dumpxml", clone)
		for _, part := range []string{"<format type='cow'/>", "<backingStore>", "<path>" + base + "</path>", "<format type='raw'/>"} {
			if !strings.Contains(xml, part) {
				t.Errorf("no %s in the document:\n%s", part, xml)
			}
		}
		copied := d.File("copy", "")
		d.OK("vol-download", clone, copied, "--length", "11")
		if got := read(t, copied); got != "of the base" {
			t.Errorf("through the clone: %q", got)
		}
		d.OK("pool-refresh", "p")
		wants(t, "volumes", names(d, "p"), "base", "clone")
	})
}

// names are the volumes of a pool.
func names(d *testkit.Daemon, pool string) []string {
	var out []string
	for _, line := range d.Lines("vol-list", pool)[2:] {
		out = append(out, strings.Fields(line)[0])
	}
	return out
}
