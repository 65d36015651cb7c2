package capxml

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

var update = flag.Bool("update", false, "write the golden files anew")

// host is a machine with two nodes and all that can be said of one.
func host() Host {
	return Host{
		UUID: "4c4c4544-0042-4b10-8050-b4c04f443353", Arch: "x86_64", Vendor: "Intel", Model: "Cascadelake-Server",
		Sockets: 1, Cores: 2, Threads: 1,
		PageSizes: []int{4, 2048},
		Cells: []Cell{
			{
				ID: 0, Memory: 8 << 20,
				Pages:     []Pages{{4, 2 << 20}, {2048, 3}},
				CPUs:      []CPU{{ID: 0, Siblings: "0"}, {ID: 1, Core: 1, Siblings: "1"}},
				Distances: []Distance{{0, 10}, {1, 21}},
			},
			{ID: 1, Memory: 4 << 20, CPUs: []CPU{{ID: 2, Socket: 1, Siblings: "2-3"}, {ID: 3, Socket: 1, Siblings: "2-3"}}},
		},
		Kernel: "/usr/bin/linux.uml", MaxVCPUs: 1, Label: "+64055:+64055",
	}
}

// small is a host of which next to nothing is known.
func small() Host {
	return Host{Arch: "x86_64", Sockets: 1, Cores: 1, Threads: 1}
}

func compareGolden(t *testing.T, file, got string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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

func TestCapabilities(t *testing.T) {
	for name, host := range map[string]Host{"host": host(), "small": small()} {
		text, err := Capabilities(host)
		compareGolden(t, name+".xml", text, err)
		checkSchema(t, "capability.rng", text)
	}
}

// newer are the elements that libvirt's schema has since 10.x only.
var newer = regexp.MustCompile(`(?s) *<console.*</console>\n`)

func TestDomainCapabilities(t *testing.T) {
	text, err := DomainCapabilities(Target{Kernel: "/usr/bin/linux.uml", Arch: "x86_64", MaxVCPUs: 64})
	compareGolden(t, "domain.xml", text, err)
	checkSchema(t, "domaincaps.rng", newer.ReplaceAllString(text, ""))
}

// checkSchema holds a document against libvirt's schema where there is one.
func checkSchema(t *testing.T, schema, text string) {
	t.Helper()
	schema = filepath.Join("/usr/share/libvirt/schemas", schema)
	xmllint, err := exec.LookPath("xmllint")
	if _, statErr := os.Stat(schema); err != nil || statErr != nil {
		t.Log("not validated: xmllint (libxml2-utils) or libvirt's schemas (libvirt-clients) are not installed")
		return
	}
	cmd := exec.Command(xmllint, "--noout", "--relaxng", schema, "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, text)
	}
}

func TestLookup(t *testing.T) {
	tests := []struct {
		name  string
		query Query
		want  Target
	}{
		{"default", Query{}, Target{"/usr/bin/linux.uml", "x86_64", 1}},
		{"all given", Query{Emulator: "/usr/bin/linux.uml", Arch: "x86_64", VirtType: "uml"}, Target{"/usr/bin/linux.uml", "x86_64", 1}},
		{"other kernel", Query{Emulator: "/opt/linux-7.2"}, Target{"/opt/linux-7.2", "x86_64", 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Lookup(host(), test.query)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestLookupRefuses(t *testing.T) {
	tests := []struct {
		name  string
		host  Host
		query Query
		code  libvirt.ErrorNumber
		text  string
	}{
		{"virttype", host(), Query{VirtType: "kvm"}, libvirt.ErrInvalidArg, "virttype 'kvm'"},
		{"arch", host(), Query{Arch: "ppc64"}, libvirt.ErrInvalidArg, "architecture 'ppc64'"},
		{"machine", host(), Query{Machine: "q35"}, libvirt.ErrInvalidArg, "machine 'q35'"},
		{"emulator", host(), Query{Emulator: "linux"}, libvirt.ErrInvalidArg, "'linux' is not an absolute path"},
		{"no kernel", small(), Query{}, libvirt.ErrConfigUnsupported, "install one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Lookup(test.host, test.query)
			var got *virerr.Error
			if !errors.As(err, &got) || got.Code != test.code || got.Domain != virerr.UML || !strings.Contains(got.Error(), test.text) {
				t.Errorf("got %v, want code %d and %q", err, test.code, test.text)
			}
		})
	}
}
