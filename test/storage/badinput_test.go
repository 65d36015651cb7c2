package storage

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/testkit"
)

func folderHas(t *testing.T, target, want string) {
	t.Helper()
	entries, err := os.ReadDir(target)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s has %q, want %q", target, got, want)
	}
}

// Sizes that no file can have make nothing; 0 is a size.
func TestVolumeSizes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := pool(d, "p")
		for _, size := range []string{"16E", "15E", "8E", "18446744073709551615", "18446744073709551616", "9223372036854775808", "0.5", "", "x"} {
			if r := d.Virsh("vol-create-as", "p", "v", size); r.Code == 0 {
				t.Errorf("a volume of size %q was made", size)
			}
		}
		for _, size := range []string{"-1", "-9223372036854775808", "18446744073709551615", "16777216T"} {
			text := "<volume><name>v</name><capacity>" + size + "</capacity></volume>"
			if r := d.Virsh("vol-create", "p", d.File("v.xml", text)); r.Code == 0 {
				t.Errorf("a volume of capacity %s was made", size)
			}
		}
		folderHas(t, target, "")
		d.OK("vol-create-as", "p", "v", "0")
		if got := bytesOf(d, "Capacity", "v", "p"); got != "0 bytes" {
			t.Errorf("capacity: %q", got)
		}
		for _, size := range []string{"16E", "8E", "-1"} {
			if r := d.Virsh("vol-resize", "--pool", "p", "v", size); r.Code == 0 {
				t.Errorf("a volume was resized to %s", size)
			}
		}
		long := strings.Repeat("n", 255)
		d.OK("vol-create-as", "p", long, "0")
		d.OK("vol-delete", "--pool", "p", long)
		d.OK("vol-delete", "--pool", "p", "v")
		folderHas(t, target, "")
	})
}

// Pools whose folder is none, and names that are no pool's.
func TestBadPools(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		file := d.File("file", "")
		d.Refused("not a directory", "pool-create-as", "p", "dir", "--target", file)
		d.Refused("no such file or directory", "pool-create-as", "p", "dir", "--target", filepath.Join(d.Dir, "nowhere"))
		for _, name := range []string{"../p", "a/b", ".", "..", "a\nb", strings.Repeat("n", 256)} {
			if r := d.Virsh("pool-define-as", name, "dir", "--target", filepath.Join(d.Dir, "x")); r.Code == 0 {
				t.Errorf("a pool called %q was defined", name)
			}
		}
		wants(t, "pools", d.Lines("pool-list", "--all", "--name"))

		target := pool(d, "p")
		d.OK("vol-create-as", "p", "v", "1M")
		if err := os.Rename(target, target+".moved"); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"vol-create-as", "p", "w", "1M"}, {"vol-wipe", "v", "p"}, {"vol-upload", "--pool", "p", "v", file},
			{"vol-download", "--pool", "p", "v", d.File("down", "")}, {"vol-clone", "--pool", "p", "v", "w"}, {"pool-refresh", "p"},
		} {
			if r := d.Virsh(args...); r.Code == 0 {
				t.Errorf("%q without the pool's folder went well", args)
			}
		}
		if got := fields(d, "pool-info", "p")["State"]; got != "inactive" {
			t.Errorf("the pool is %s", got)
		}
		folderHas(t, target+".moved", "v")
	})
}

// A pool on a full disk: what did not fit leaves nothing.
func TestFullPool(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	big := d.File("big", noise(8<<20))
	large := pool(d, "large")
	d.OK("vol-create-as", "large", "base", "8M", "--allocation", "0")
	d.OK("vol-upload", "--pool", "large", "base", big)
	d.OK("vol-create-as", "large", "over", "8M", "--format", "cow", "--backing-vol", "base", "--backing-vol-format", "raw")

	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d.OK("pool-create-as", "small", "dir", "--target", small)
	document := d.File("w.xml", "<volume><name>w</name><capacity>0</capacity></volume>")
	for _, args := range [][]string{
		{"vol-create-as", "small", "w", "8M"},
		{"vol-create-from", "small", document, "base", "--inputpool", "large"},
		{"vol-create-from", "small", document, "over", "--inputpool", "large"},
	} {
		d.Refused("no space left on device", args...)
		folderHas(t, small, "")
	}
	d.OK("vol-create-as", "small", "v", "8M", "--allocation", "0")
	d.Refused("no space left on device", "vol-upload", "--pool", "small", "v", big)
	d.OK("vol-delete", "--pool", "small", "v")
	folderHas(t, small, "")
	folderHas(t, large, "base over")
}

// A guest's disk that claims to be a clone of somebody else's file is not read
// through.
func TestForgedClone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		path := filepath.Join(pool(d, "p"), "v")
		secret := d.File("secret", strings.Repeat("secret!!", 8192))
		d.OK("vol-create-as", "p", "v", "1M", "--allocation", "0")
		forged := filepath.Join(t.TempDir(), "forged")
		if err := cow.Create(forged, secret); err != nil {
			t.Fatal(err)
		}
		d.OK("vol-upload", path, d.File("forged", read(t, forged)))
		if xml := d.OK("vol-dumpxml", path); !strings.Contains(xml, "<format type='cow'/>") {
			t.Errorf("the document:\n%s", xml)
		}
		down := d.File("down", "")
		const why = "which is in no active pool: define and start a pool for the folder"
		d.Refused(why, "vol-download", path, down)
		d.Refused(why, "vol-create-from", "p", d.File("w.xml", "<volume><name>w</name><capacity>0</capacity></volume>"), "v", "--inputpool", "p")
		d.Refused("cannot be resized", "vol-resize", path, "2M")
		if got, err := os.ReadFile(down); err != nil || bytes.Contains(got, []byte("secret")) {
			t.Errorf("%d bytes were downloaded, %v", len(got), err)
		}
		d.OK("vol-wipe", path)
		d.OK("vol-delete", path)
		if got := read(t, secret); got != strings.Repeat("secret!!", 8192) {
			t.Error("the file was written")
		}
	})
}
