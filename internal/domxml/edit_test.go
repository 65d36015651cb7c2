package domxml

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"virtumld/internal/virerr"
)

// wantCode fails unless err carries the libvirt code.
func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	var got *virerr.Error
	if !errors.As(err, &got) || int(got.Code) != code {
		t.Errorf("got error %v, want code %d", err, code)
	}
}

// TestEditChangesOneThing checks every edit by the lines that it changes.
func TestEditChangesOneThing(t *testing.T) {
	id := uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	tests := []struct {
		name  string
		edit  func(*Definition) (*Definition, error)
		lines []string // the new lines
	}{
		{"name", func(d *Definition) (*Definition, error) { return d.WithName("other") }, []string{"  <name>other</name>"}},
		{"uuid", func(d *Definition) (*Definition, error) { return d.WithUUID(id) }, []string{"  <uuid>" + id.String() + "</uuid>"}},
		{"memory", func(d *Definition) (*Definition, error) { return d.WithMemory(65537) }, []string{"  <currentMemory unit='KiB'>65540</currentMemory>"}},
		{"max memory", func(d *Definition) (*Definition, error) { return d.WithMaxMemory(131072) },
			[]string{"  <memory unit='KiB'>131072</memory>", "  <currentMemory unit='KiB'>131072</currentMemory>"}},
		{"vcpus", func(d *Definition) (*Definition, error) { return d.WithVCPUs(4, 2) }, []string{"  <vcpu placement='static' current='2'>4</vcpu>"}},
		{"all vcpus", func(d *Definition) (*Definition, error) { return d.WithVCPUs(4, 4) }, []string{"  <vcpu placement='static'>4</vcpu>"}},
		{"actions", func(d *Definition) (*Definition, error) {
			return d.WithActions(ActionRestart, ActionDestroy, ActionPreserve)
		}, []string{"  <on_poweroff>restart</on_poweroff>", "  <on_reboot>destroy</on_reboot>", "  <on_crash>preserve</on_crash>"}},
		{"title", func(d *Definition) (*Definition, error) { return d.WithMetadata(MetadataTitle, "<New> title", "", "") },
			[]string{"  <title>&lt;New&gt; title</title>"}},
		{"description", func(d *Definition) (*Definition, error) {
			return d.WithMetadata(MetadataDescription, "one\ntwo", "", "")
		}, []string{"  <description>one", "two</description>"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := mustParse(t, inputs(t)["full"])
			old := before.XML(true)
			after, err := test.edit(before)
			if err != nil {
				t.Fatal(err)
			}
			if before.XML(true) != old {
				t.Error("the edit changed the original")
			}
			if got := newLines(old, after.XML(true)); strings.Join(got, "\n") != strings.Join(test.lines, "\n") {
				t.Errorf("new lines:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.lines, "\n"))
			}
			checkRoundTrip(t, after)
		})
	}
}

// newLines returns the lines of after that before does not have.
func newLines(before, after string) []string {
	had := map[string]bool{}
	for line := range strings.SplitSeq(before, "\n") {
		had[line] = true
	}
	var lines []string
	for line := range strings.SplitSeq(after, "\n") {
		if !had[line] {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestEditRefuses(t *testing.T) {
	def := mustParse(t, inputs(t)["demo"])
	tests := []struct {
		name string
		edit func() (*Definition, error)
		code int
	}{
		{"name", func() (*Definition, error) { return def.WithName("a/b") }, 27},
		{"no name", func() (*Definition, error) { return def.WithName("") }, 21},
		{"memory above maximum", func() (*Definition, error) { return def.WithMemory(500001) }, 8},
		{"no memory", func() (*Definition, error) { return def.WithMemory(0) }, 8},
		{"no maximum", func() (*Definition, error) { return def.WithMaxMemory(0) }, 8},
		{"little maximum", func() (*Definition, error) { return def.WithMaxMemory(1024) }, 67},
		{"current vcpus", func() (*Definition, error) { return def.WithVCPUs(1, 2) }, 67},
		{"action", func() (*Definition, error) { return def.WithActions("zz", ActionDestroy, ActionDestroy) }, 67},
		{"title", func() (*Definition, error) { return def.WithMetadata(MetadataTitle, "a\nb", "", "") }, 8},
		{"metadata type", func() (*Definition, error) { return def.WithMetadata(9, "a", "", "") }, 8},
		{"key", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a/>", "k y", "urn:u") }, 1},
		{"metadata syntax", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a>", "k", "urn:u") }, 35},
		{"xml key", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a/>", "xmlns", "urn:u") }, 1},
		{"no text namespace", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a/>", "k", "\xff") }, 35},
		{"no namespace", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a/>", "k", "") }, 8},
		{"other namespace", func() (*Definition, error) {
			return def.WithMetadata(MetadataElement, "<a xmlns='urn:x'/>", "k", "urn:u")
		}, 8},
		{"taken prefix", func() (*Definition, error) {
			return def.WithMetadata(MetadataElement, "<a><b xmlns:k='urn:x'/></a>", "k", "urn:u")
		}, 8},
		{"two elements", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a/><b/>", "k", "urn:u") }, 35},
		{"metadata text", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a/>text", "k", "urn:u") }, 35},
		{"control character", func() (*Definition, error) { return def.WithMetadata(MetadataDescription, "a\x01", "", "") }, 35},
		{"long title", func() (*Definition, error) {
			return def.WithMetadata(MetadataTitle, strings.Repeat("'", maxDocument/2), "", "")
		}, 35},
		{"deep metadata", func() (*Definition, error) {
			return def.WithMetadata(MetadataElement, strings.Repeat("<a>", 255)+strings.Repeat("</a>", 255), "k", "urn:u")
		}, 35},
		{"metadata prefix", func() (*Definition, error) { return def.WithMetadata(MetadataElement, "<a><z:b/></a>", "k", "urn:u") }, 35},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.edit()
			wantCode(t, err, test.code)
		})
	}
}

func TestMetadataElement(t *testing.T) {
	def := mustParse(t, inputs(t)["full"])
	const libosinfo = "http://libosinfo.org/xmlns/libvirt/domain/1.0"

	got, err := def.Metadata(MetadataElement, libosinfo)
	want := "<libosinfo>\n      <os id=\"http://debian.org/debian/12\"/>\n    </libosinfo>"
	if err != nil || got != want {
		t.Errorf("libosinfo: %q, %v; want %q", got, err, want)
	}
	_, err = def.Metadata(MetadataElement, "urn:none")
	wantCode(t, err, 80)

	added, err := def.WithMetadata(MetadataElement, `<app v='1'><part/>a&amp;b</app>`, "app", "urn:app")
	if err != nil {
		t.Fatal(err)
	}
	if line := `    <app:app v="1" xmlns:app="urn:app"><app:part/>a&amp;b</app:app>` + "\n"; !strings.Contains(added.XML(false), line) {
		t.Errorf("added element is not in\n%s", added.XML(false))
	}
	if got, err := added.Metadata(MetadataElement, "urn:app"); err != nil || got != `<app v="1"><part/>a&amp;b</app>` {
		t.Errorf("added element reads %q, %v", got, err)
	}
	for line := range strings.SplitSeq(def.XML(false), "\n") {
		if !strings.Contains(added.XML(false), line) {
			t.Errorf("line is gone: %s", line)
		}
	}

	replaced, err := added.WithMetadata(MetadataElement, "<other/>", "app", "urn:app")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := replaced.Metadata(MetadataElement, "urn:app"); got != "<other/>" {
		t.Errorf("replaced element reads %q", got)
	}
	removed, err := replaced.WithMetadata(MetadataElement, "", "app", "urn:app")
	if err != nil {
		t.Fatal(err)
	}
	if removed.XML(false) != def.XML(false) {
		t.Errorf("after removal:\n%s", removed.XML(false))
	}
}

func TestMetadataText(t *testing.T) {
	def := mustParse(t, inputs(t)["demo"])
	_, err := def.Metadata(MetadataTitle, "")
	wantCode(t, err, 80)
	_, err = def.Metadata(9, "")
	wantCode(t, err, 8)
	titled, err := def.WithMetadata(MetadataTitle, "T", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := titled.Metadata(MetadataTitle, ""); got != "T" || err != nil {
		t.Errorf("title %q, %v", got, err)
	}
	untitled, err := titled.WithMetadata(MetadataTitle, "", "", "")
	if err != nil || untitled.XML(true) != def.XML(true) {
		t.Errorf("title is not removed: %v", err)
	}
}

// TestSecrets checks that passwords are shown in secure documents only.
func TestSecrets(t *testing.T) {
	def := mustParse(t, domain("", "<graphics type='vnc' passwd='hush1'/><graphics type='spice' passwd='hush2'/>"))
	for _, secure := range []bool{true, false} {
		live, err := def.LiveXML(Live{ID: 1}, secure)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{def.XML(secure), live} {
			if strings.Count(text, "hush") != map[bool]int{true: 2, false: 0}[secure] {
				t.Errorf("secure %v:\n%s", secure, text)
			}
		}
	}
}

// FuzzWithMetadata checks that whatever is accepted as an element can be
// stored, read back and removed.
func FuzzWithMetadata(f *testing.F) {
	for _, text := range []string{"<a/>", "<a b='c'><d/>e</a>", "<x:a xmlns:x='urn:x'/>", "<a xmlns='urn:d'><b/></a>", "<?p?><a/><!-- c -->"} {
		f.Add(text, "key", "urn:u")
	}
	def := mustParse(f, inputs(f)["virt-install"])
	f.Fuzz(func(t *testing.T, text, key, uri string) {
		changed, err := def.WithMetadata(MetadataElement, text, key, uri)
		if err != nil {
			var known *virerr.Error
			if !errors.As(err, &known) {
				t.Errorf("error without a code: %v", err)
			}
			return
		}
		checkRoundTrip(t, changed)
		if _, err := changed.Metadata(MetadataElement, uri); err != nil && text != "" {
			t.Errorf("%q is lost: %v\n%s", text, err, changed.XML(false))
		}
	})
}
