package storagexml

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"virtumld/internal/imgformat"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inputs returns the test documents whose file names begin with prefix, by
// name.
func inputs(t testing.TB, prefix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/" + prefix + "*.in.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test documents: %v", err)
	}
	docs := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		docs[strings.TrimSuffix(filepath.Base(f), ".in.xml")] = string(text)
	}
	return docs
}

// compareGolden compares got with NAME.xml, which must be valid by libvirt's
// schema.
func compareGolden(t *testing.T, name, schema, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".xml")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", path, got)
	}
	schema = "/usr/share/libvirt/schemas/" + schema + ".rng" // of libvirt-clients
	if out, err := exec.Command("xmllint", "--noout", "--relaxng", schema, path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPoolGolden(t *testing.T) {
	for name, doc := range inputs(t, "pool-") {
		t.Run(name, func(t *testing.T) {
			pool, err := ParsePool(doc)
			if err != nil {
				t.Fatal(err)
			}
			text, err := pool.XML(PoolStats{Capacity: 1 << 40, Allocation: 1 << 30, Available: 1023 << 30})
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name, "storagepool", text)
		})
	}
}

func TestVolumeGolden(t *testing.T) {
	for name, doc := range inputs(t, "volume-") {
		t.Run(name, func(t *testing.T) {
			volume, err := ParseVolume(doc)
			if err != nil {
				t.Fatal(err)
			}
			text, err := volume.XML()
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name, "storagevol", text)
		})
	}
}

// TestExistingVolumeGolden writes volumes as they are found in a pool.
func TestExistingVolumeGolden(t *testing.T) {
	perms := Permissions{Mode: ptr(uint32(0o600)), Owner: ptr(0), Group: ptr(107), Label: "system_u:object_r:virt_image_t:s0"}
	volumes := map[string]*Volume{
		"existing-cow": {
			Name: "clone.cow", Key: "/srv/clone.cow", Path: "/srv/clone.cow", Format: imgformat.COW,
			Capacity: 10 << 30, Allocation: 335872, Physical: 10 << 30, Perms: perms,
			Backing: &Backing{Path: "/srv/base.img", Format: imgformat.Raw, Perms: Permissions{Mode: ptr(uint32(0o444))}},
			Times: &Times{
				Access: time.Unix(1341933637, 273190990),
				Modify: time.Unix(1341930622, 47245868),
				Change: time.Unix(1341930622, 0),
			},
		},
		"existing-dir":  {Name: "folder", Key: "/srv/folder", Path: "/srv/folder", Format: imgformat.Dir, Allocation: 4096, Physical: 4096},
		"existing-luks": {Name: "l", Key: "/srv/l", Path: "/srv/l", Format: imgformat.LUKS, Capacity: 1 << 20},
	}
	for name, volume := range volumes {
		t.Run(name, func(t *testing.T) {
			text, err := volume.XML()
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name, "storagevol", text)
		})
	}
}

func TestCapabilitiesGolden(t *testing.T) {
	text, err := PoolCapabilities()
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "capabilities", "storagepoolcaps", text)
}

func ptr[T any](v T) *T { return &v }
