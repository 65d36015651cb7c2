package networkxml

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inputs are the test documents by name.
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

// schema is libvirt's own, of libvirt-clients.
const schema = "/usr/share/libvirt/schemas/network.rng"

func TestGolden(t *testing.T) {
	for name, doc := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			if err := Validate(doc); err != nil {
				t.Error(err)
			}
			n, err := Parse(doc)
			if err != nil {
				t.Fatal(err)
			}
			got, path := n.XML(), filepath.Join("testdata", name+".xml")
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
			again, err := Parse(got)
			if err != nil || again.XML() != got {
				t.Errorf("read again (%v) it is:\n%s", err, again.XML())
			}
			if err := n.Check(); err != nil {
				t.Error(err)
			}
			if name == "titled" {
				return // libvirt 9.0's schema has no titles yet
			}
			if out, err := exec.Command("xmllint", "--noout", "--relaxng", schema, path).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
