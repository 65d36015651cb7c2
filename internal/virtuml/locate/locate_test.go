package locate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/spf13/cobra"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func TestIsPath(t *testing.T) {
	for word, want := range map[string]bool{
		"a": false, "pool/a": false, ".hidden": false, "..a": false, "/a": true, "./a": true, "../a": true, ".": true, "..": true,
	} {
		if got := IsPath(word); got != want {
			t.Errorf("%q: %v", word, got)
		}
	}
}

func TestSplit(t *testing.T) {
	p := Place{Pool: "own"}
	for word, want := range map[string][2]string{
		"a": {"own", "a"}, "pool/a": {"pool", "a"}, "pool/a/b": {"pool", "a/b"}, "debian:12": {"own", "debian:12"},
	} {
		if pool, volume := p.split(word); pool != want[0] || volume != want[1] {
			t.Errorf("%q: %q %q", word, pool, volume)
		}
	}
}

// A volume is found by each of its words, and completed.
func TestVolumes(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	for pool, volume := range map[string]string{"one": "a.img", "two": "b.img"} {
		d.OK("pool-create-as", pool, "dir", "--target", filepath.Join(d.Dir, pool), "--build")
		d.OK("vol-create-as", pool, volume, "1M", "--allocation", "0")
	}
	p := Place{URI: "uml+unix:///system?socket=" + d.Socket, Pool: "one"}
	path := filepath.Join(d.Dir, "one/a.img")
	for _, word := range []string{"a.img", "one/a.img", path} {
		if got, err := p.Path(t.Context(), word); err != nil || got != path {
			t.Errorf("%s: %q, %v", word, got, err)
		}
		if err := p.Refresh(t.Context(), word); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
	for word, want := range map[string]libvirt.ErrorNumber{
		"b.img": libvirt.ErrNoStorageVol, "two/a.img": libvirt.ErrNoStorageVol, "three/a.img": libvirt.ErrNoStoragePool,
	} {
		if _, err := p.Path(t.Context(), word); !IsCode(err, want) || !strings.Contains(err.Error(), "virsh") {
			t.Errorf("%s: %v", word, err)
		}
	}
	if err := p.Refresh(t.Context(), "/no/such/pool/file"); err != nil {
		t.Error(err)
	}

	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	for name, test := range map[string]struct {
		complete cobra.CompletionFunc
		args     []string
		word     string
		want     []string
	}{
		"each":   {p.Each, []string{"x"}, "", []string{"a.img", "two/b.img"}},
		"first":  {p.First, nil, "", []string{"a.img", "two/b.img"}},
		"second": {p.First, []string{"x"}, "", nil},
		"inside": {p.Inside, nil, "", []string{"a.img:/", "two/b.img:/"}},
		"pools":  {p.completePool, nil, "", []string{"one", "two"}},
		"path":   {p.Each, nil, "/", nil},
	} {
		if got, _ := test.complete(cmd, test.args, test.word); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// Without a daemon there is nothing to complete, and a path is a path.
func TestWithoutDaemon(t *testing.T) {
	p := Place{URI: "uml+unix:///system?socket=" + filepath.Join(t.TempDir(), "none"), Pool: DefaultPool}
	if got, _ := p.Each(&cobra.Command{}, nil, ""); len(got) > 0 {
		t.Errorf("completed %q", got)
	}
	if got, err := p.Path(t.Context(), "/a/../b"); err != nil || got != "/b" {
		t.Errorf("%q, %v", got, err)
	}
	if err := p.Refresh(t.Context(), "/a"); err != nil {
		t.Error(err)
	}
}
