package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// afterNotice is a document without the comment at its head.
func afterNotice(document string) (string, error) {
	_, text, found := strings.Cut(document, "-->\n")
	if !found {
		return "", errors.New("no notice")
	}
	return text, nil
}

func TestDefinitions(t *testing.T) {
	config, state := filepath.Join(t.TempDir(), "config"), t.TempDir()
	d, err := OpenDefinitions(Kind{Title: "thing", Noun: "thing", Edit: "thing-edit", Domain: virerr.Network}, config, state)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, step := range []error{
		d.SaveConfig("a", "a"), d.SaveConfig("b", "b"), d.SaveConfig("c", "c"), d.SaveState("a", "a"), d.SaveState("b", "b"),
		d.SetAutostart("a", true), d.SetAutostart("b", true), d.SetAutostart("b", false), d.SetAutostart("c", true),
		d.RemoveConfig("c"), d.RemoveState("b"), d.RemoveState("never"),
		os.WriteFile(filepath.Join(config, "d.xml"), []byte("-->\na"), 0o600),
		os.WriteFile(filepath.Join(state, "e.xml"), []byte("e"), 0o600),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	l, err := LoadDefinitions(t.Context(), d, afterNotice, func(s string) string { return s })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.Active, []string{"a"}) || !slices.Equal(l.Defined, []string{"a", "b"}) || !slices.Equal(l.Autostart, []string{"a"}) {
		t.Errorf("loaded %+v", l)
	}
	if len(l.Problems) != 2 || !strings.Contains(l.Problems[0].Error(), "no notice") || !strings.Contains(l.Problems[1].Error(), `"a.xml"`) {
		t.Errorf("problems %v", l.Problems)
	}
}

func TestDefinitionsMark(t *testing.T) {
	d, err := OpenDefinitions(Kind{Title: "thing"}, t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	before, err1 := d.Marked("made")
	err2 := d.Mark("made")
	after, err3 := d.Marked("made")
	if err := errors.Join(err1, err2, err3); err != nil || before || !after {
		t.Errorf("marked %t, then %t, %v", before, after, err)
	}
}

func TestDefinitionsErrors(t *testing.T) {
	d, err := OpenDefinitions(Kind{Title: "thing", Domain: virerr.Network}, t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, err := range []error{d.CheckName("a/b"), d.SaveConfig("", ""), d.RemoveConfig("a\nb"), d.SetAutostart("/", true)} {
		var typed *virerr.Error
		if !errors.As(err, &typed) || typed.Code != libvirt.ErrInvalidArg || typed.Domain != virerr.Network || !strings.Contains(typed.Detail, "thing '") {
			t.Errorf("got %v", err)
		}
	}
}
