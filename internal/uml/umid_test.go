package uml

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"virtumld/internal/domxml"
	"virtumld/internal/paths"
)

func TestUMID(t *testing.T) {
	id := uuid.MustParse("b4433fc2-a22e-ffb3-0a3d-9c173b395800")
	m := New(Config{Paths: paths.Paths{UMLDir: "/run/libvirt/uml-guest"}})
	for name, own := range map[string]bool{
		"demo":                                 true,
		"a.b_c-9":                              true,
		strings.Repeat("x", 63):                true,
		strings.Repeat("x", 64):                false,
		"../../etc":                            false,
		".hidden":                              false,
		"two words":                            false,
		"a,b":                                  false,
		"ümlaut":                               false,
		"notify":                               false,
		"vec0":                                 false,
		"vector":                               true,
		"0b38a7c2-a22e-ffb3-0a3d-9c173b395800": false,
	} {
		want := id.String()
		if own {
			want = name
		}
		if got := m.UMID(&domxml.Definition{Name: name, UUID: id}); got != want {
			t.Errorf("umid of %q is %q, want %q", name, got, want)
		}
	}
	deep := New(Config{Paths: paths.Paths{UMLDir: "/" + strings.Repeat("d", 60)}})
	if got := deep.UMID(&domxml.Definition{Name: strings.Repeat("x", 50), UUID: id}); got != id.String() {
		t.Errorf("a path too long for a socket: umid %q", got)
	}
}
