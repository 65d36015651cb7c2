package domxml

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenLive is the running guest of every live golden file.
var goldenLive = Live{
	ID:     3,
	PTYs:   map[string]string{"con0": "/dev/pts/4", "con1": "/dev/pts/5", "ssl0": "/dev/pts/6", "ssl3": "/dev/pts/7"},
	Kernel: "/usr/bin/linux.uml",
}

// goldenPorts gives the interfaces of def the names and ports of a running
// guest.
func goldenPorts(def *Definition) *Definition {
	last := -1
	live := def.WithPorts(func(prefix string) string { last++; return prefix + strconv.Itoa(last) })
	for i := range live.Interfaces {
		if n := &live.Interfaces[i]; n.PortID != "" {
			n.PortID = uuid.NewSHA1(uuid.Nil, []byte(n.MAC)).String()
			n.Bridge = "virbr0"
		}
	}
	return live
}

// inputs returns the test documents by name.
func inputs(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.xml")
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

func mustParse(t testing.TB, text string) *Definition {
	t.Helper()
	def, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return def
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", path, got)
	}
}

func TestGolden(t *testing.T) {
	for name, doc := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			def := mustParse(t, doc)
			compareGolden(t, name+".secure.xml", def.XML(true))
			compareGolden(t, name+".inactive.xml", def.XML(false))
			live, err := goldenPorts(def).LiveXML(goldenLive, false)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name+".live.xml", live)
		})
	}
}

// TestGoldenIsValid holds the golden files against libvirt's schema. Of all
// that a UML guest has, the schema has lost <os><type>uml</type> only; it is
// shown the type of another guest instead.
func TestGoldenIsValid(t *testing.T) {
	const schema = "/usr/share/libvirt/schemas/domain.rng"
	xmllint, err := exec.LookPath("xmllint")
	if _, statErr := os.Stat(schema); err != nil || statErr != nil {
		t.Skip("xmllint (libxml2-utils) or libvirt's schemas (libvirt-clients) are not installed")
	}
	for name := range inputs(t) {
		for _, kind := range []string{".secure.xml", ".live.xml"} {
			t.Run(name+kind, func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join("testdata", name+kind))
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "domain.xml")
				known := strings.Replace(string(text), ">uml</type>", ">hvm</type>", 1)
				if err := os.WriteFile(file, []byte(known), 0o600); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command(xmllint, "--noout", "--relaxng", schema, file).CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}

// TestRoundTrip checks that a Definition's own document means the same.
func TestRoundTrip(t *testing.T) {
	for name, doc := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			checkRoundTrip(t, mustParse(t, doc))
		})
	}
}

func checkRoundTrip(t *testing.T, def *Definition) {
	t.Helper()
	again := mustParse(t, def.XML(true))
	if !reflect.DeepEqual(def, again) {
		t.Errorf("Parse(XML()) differs:\n%+v\n%+v", def, again)
	}
	live, err := goldenPorts(def).LiveXML(goldenLive, true)
	if err != nil {
		t.Fatal(err)
	}
	fromLive := mustParse(t, live)
	if fromLive.OS.Kernel == goldenLive.Kernel {
		fromLive.OS.Kernel = def.OS.Kernel
	}
	fromLive.text, fromLive.public = def.text, def.public
	if !reflect.DeepEqual(def, fromLive) {
		t.Errorf("Parse(LiveXML()) differs:\n%+v\n%+v", def, fromLive)
	}
}

// TestDefinition checks what the demonstration's document means.
func TestDefinition(t *testing.T) {
	def := mustParse(t, inputs(t)["demo"])
	want := &Definition{
		Name: "demo", UUID: uuid.MustParse("b4433fc2-a22e-ffb3-0a3d-9c173b395800"),
		MaxMemory: 500000, CurrentMemory: 500000, VCPUs: 1, VCPUsCurrent: 1,
		OS:         OS{Kernel: "/path/linux"},
		OnPoweroff: ActionDestroy, OnReboot: ActionRestart, OnCrash: ActionDestroy,
		Disks: []Disk{{Target: "ubd0", Alias: "ubd0", Path: "/path/root_fs"}},
		Chardevs: []Chardev{
			{Alias: "console0", Type: ChardevPTY},
			{Serial: true, Alias: "serial0", Type: ChardevTCP, Host: "localhost", Service: "9000"},
			{Serial: true, Port: 3, Alias: "serial3", Type: ChardevPTY},
		},
		text: def.text, public: def.public,
	}
	if !reflect.DeepEqual(def, want) {
		t.Errorf("got  %+v\nwant %+v", def, want)
	}
}

// TestDefaults checks what is made up where a document is silent.
func TestDefaults(t *testing.T) {
	const doc = `<domain type='uml'><name>x</name><memory>65536</memory><os><type>uml</type></os>
		<devices><interface type='user'/></devices></domain>`
	a, b := mustParse(t, doc), mustParse(t, doc)
	if a.UUID == b.UUID || a.UUID == uuid.Nil {
		t.Errorf("uuids %s and %s", a.UUID, b.UUID)
	}
	mac := a.Interfaces[0].MAC
	if !strings.HasPrefix(mac, "52:54:00:") || len(mac) != 17 || mac == b.Interfaces[0].MAC {
		t.Errorf("MAC addresses %s and %s", mac, b.Interfaces[0].MAC)
	}
}

// TestVolumes checks what <disk type='volume'> means.
func TestVolumes(t *testing.T) {
	def := mustParse(t, inputs(t)["volumes"])
	want := []Disk{
		{Target: "ubd0", Alias: "ubd0", Pool: "default", Volume: "root.img", FormatGiven: true},
		{Target: "vdb", Alias: "ubd1", Unit: 1, Pool: "other pool", Volume: "Größe & name", COW: true, Backing: "/images/base.img", FormatGiven: true},
		{Target: "ubd2", Alias: "ubd2", Unit: 2, Pool: "default", Volume: "shared.img", ReadOnly: true},
		{Target: "ubd3", Alias: "ubd3", Unit: 3, Pool: "default", Volume: "shared.img", ReadOnly: true},
		{Target: "ubd4", Alias: "ubd4", Unit: 4, Path: "/dev/vg/lv", Block: true},
	}
	if !reflect.DeepEqual(def.Disks, want) {
		t.Errorf("got  %+v\nwant %+v", def.Disks, want)
	}
}

// TestDisk checks how a disk is named.
func TestDisk(t *testing.T) {
	def := &Definition{Disks: []Disk{
		{Target: "ubd0", Path: "/a"}, {Target: "ubd1", Path: "/b", ReadOnly: true}, {Target: "vdc", Path: "/b", ReadOnly: true},
		{Target: "ubd3", Pool: "p", Volume: "/a"},
	}}
	for name, want := range map[string]string{
		"ubd0": "ubd0", "vdc": "vdc", "/a": "ubd0", "ubd3": "ubd3",
		"/b": "", "/c": "", "ubd2": "", "p//a": "", "": "",
	} {
		disk, found := def.Disk(name)
		if disk.Target != want || found != (want != "") {
			t.Errorf("%q is disk %q, %v; want %q", name, disk.Target, found, want)
		}
	}
}
