package storagexml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func TestValidateRefuses(t *testing.T) {
	schema := func(name, doc, path string) refusal {
		return refusal{name, doc, libvirt.ErrXMLInvalidSchema, virerr.XML, "'./" + path + "' is not part of a "}
	}
	checkRefusals(t, []refusal{
		schema("element", pool("<colour>red</colour>"), "colour"),
		schema("deep element", pool("<target><path>/p</path><permissions><mod>0700</mod></permissions></target>"), "target/permissions/mod"),
		schema("attribute", pool("<capacity units='GiB'>1</capacity>"), "capacity/@units"),
		schema("attribute of the root", "<pool type='dir' kind='x'><name>p</name></pool>", "@kind"),
		schema("a volume's element", pool("<key>k</key>"), "key"),
		schema("another namespace", pool("<fs:mount_opts xmlns:fs='x'/>"), "fs:mount_opts"),
		schema("another type's source", pool("<source><host name='h'/></source>"), "source/host"),
	}, ValidatePool)
	checkRefusals(t, []refusal{
		schema("element", volume("<uuid>u</uuid>"), "uuid"),
		schema("deep element", volume("<target><formatt type='raw'/></target>"), "target/formatt"),
		schema("attribute", volume("<target><format typ='raw'/></target>"), "target/format/@typ"),
		schema("encrypted backing", volume("<backingStore><path>/b</path><encryption format='luks'/></backingStore>"), "backingStore/encryption"),
	}, ValidateVolume)
}

// Whatever libvirt's schema has is let through, and so is what Parse refuses.
func TestValidate(t *testing.T) {
	for _, doc := range []string{
		pool("<uuid>u</uuid><features><cow state='yes'/></features><source><vendor name='v'/></source>"),
		pool("<capacity unit='GiB'>1</capacity><target><path>/p</path><permissions><mode>0711</mode><label>l</label></permissions></target>"),
		"<pool type='dir' xmlns='x' xmlns:y='z'/>",
		"", "</pool>", "<pool", "text",
	} {
		if err := ValidatePool(doc); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	for _, doc := range []string{
		volume("<key>k</key><physical>1</physical><target><path>/p</path><format type='raw'/><nocow/><features><extended_l2/></features></target>"),
		volume("<backingStore><path>/b</path><format type='raw'/><timestamps><atime>1</atime></timestamps></backingStore>"),
		volume("<target><encryption format='luks'><secret type='passphrase' uuid='u'/></encryption></target>"),
	} {
		if err := ValidateVolume(doc); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// Every document that is written is valid.
func TestWrittenDocumentsAreValid(t *testing.T) {
	for pattern, check := range map[string]func(string) error{
		"pool-*.xml": ValidatePool, "volume-*.xml": ValidateVolume, "existing-*.xml": ValidateVolume,
	} {
		files, err := filepath.Glob("testdata/" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d documents, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".in.xml") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := check(string(text)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
