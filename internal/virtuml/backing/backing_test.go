package backing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/cow"
	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// over makes a copy-on-write file whose header names backing.
func over(t *testing.T, path, backing string) string {
	t.Helper()
	info, err := os.Stat("backing_test.go")
	must(t, err)
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, cow.CreateFile(f, backing, info))
	return path
}

func TestRule(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	dir := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(dir, name)
		must(t, os.Mkdir(path, 0o700))
		return path
	}
	file := func(parts ...string) string {
		path := filepath.Join(parts...)
		must(t, os.WriteFile(path, []byte(path), 0o600))
		return path
	}
	own, other, pool, stopped := folder("own"), folder("other"), folder("pool"), folder("stopped")
	d.OK("pool-create-as", "p", "dir", "--target", pool)
	d.OK("pool-define-as", "s", "dir", "--target", stopped)
	near, far, pooled, off := file(own, "base"), file(other, "secret"), file(pool, "base"), file(stopped, "base")
	link, poolLink := filepath.Join(own, "link"), filepath.Join(pool, "link")
	must(t, os.Symlink(far, link))
	must(t, os.Symlink(far, poolLink))
	must(t, os.Symlink(own, filepath.Join(dir, "also")))

	const unknown = "neither in its own folder nor in a started pool"
	for name, test := range map[string]struct {
		backing, named string
		refusal        string // "" when it is opened
	}{
		"own folder":           {near, "", ""},
		"own folder, spelled":  {filepath.Join(dir, "also", "base"), "", ""},
		"started pool":         {pooled, "", ""},
		"elsewhere":            {far, "", unknown},
		"dots":                 {own + "/../other/secret", "", unknown},
		"stopped pool":         {off, "", unknown},
		"link":                 {link, "", "is a symbolic link"},
		"link in a pool":       {poolLink, "", "is a symbolic link"},
		"a folder":             {own, "", unknown},
		"device":               {"/dev/zero", "/dev/zero", "is not a regular file"},
		"named":                {far, far, ""},
		"named with a link":    {link, link, ""},
		"another one is named": {far, near, "names \"" + far + "\" as its backing file, not \"" + near + "\""},
	} {
		image, err := os.Open(over(t, filepath.Join(own, name), test.backing))
		must(t, err)
		defer image.Close()
		rule := Rule{Named: test.named}
		f, err := rule.Open(t.Context(), "uml+unix:///system?socket="+d.Socket, image, os.O_RDWR)
		switch {
		case test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)):
			t.Errorf("%s: %v, want %q", name, err, test.refusal)
		case test.refusal == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			must(t, f.Close())
		}
	}
}

// The files that are no sound pair are told apart.
func TestOtherFiles(t *testing.T) {
	dir := t.TempDir()
	const nobody = "uml+unix:///system?socket=/nowhere"
	raw := filepath.Join(dir, "raw")
	must(t, os.WriteFile(raw, make([]byte, 9000), 0o600))
	relative := over(t, filepath.Join(dir, "relative"), "/base")
	f, err := os.OpenFile(relative, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("base\x00"), 32)
	must(t, err)
	for path, want := range map[string]error{
		raw:      cow.ErrNotCOW,
		relative: cow.ErrDamaged,
		over(t, filepath.Join(dir, "missing"), filepath.Join(dir, "gone")): fs.ErrNotExist,
	} {
		image, err := os.Open(path)
		must(t, err)
		defer image.Close()
		if _, err := new(Rule).Open(t.Context(), nobody, image, os.O_RDONLY); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	image, err := os.Open(over(t, filepath.Join(dir, "far"), "/etc/passwd"))
	must(t, err)
	defer image.Close()
	if _, err := new(Rule).Open(t.Context(), nobody, image, os.O_RDONLY); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a daemon: %v", err)
	}
}
