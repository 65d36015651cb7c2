package browse

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/cow"
	"virtumld/internal/filelock"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// images makes an image and a copy-on-write file over it.
func images(t *testing.T) (raw, over string) {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	must(t, os.MkdirAll(filepath.Join(tree, "etc/deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(tree, "etc/file"), []byte("content\n"), 0o644))
	must(t, os.Chmod(filepath.Join(tree, "etc/file"), 0o755|fs.ModeSetuid))
	must(t, os.WriteFile(filepath.Join(tree, "etc/deep/\x1b[31m"), []byte("x"), 0o600))
	must(t, os.Symlink("/etc/file", filepath.Join(tree, "etc/link")))
	must(t, os.Symlink("/", filepath.Join(tree, "etc/out")))
	raw, over = filepath.Join(dir, "raw.img"), filepath.Join(dir, "over.cow")
	if out, err := exec.Command("/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, raw, "4m").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	must(t, cow.Create(over, raw))
	return raw, over
}

// command runs one of the commands and returns what it wrote.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	for _, cmd := range Commands() {
		if cmd.Name() != args[0] {
			continue
		}
		var out, log bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&log)
		cmd.SetArgs(args[1:])
		cmd.SilenceUsage = true
		err := cmd.ExecuteContext(context.Background())
		return out.String(), log.String(), err
	}
	t.Fatalf("no command %s", args[0])
	return "", "", nil
}

func TestListAndPrint(t *testing.T) {
	raw, over := images(t)
	for _, image := range []string{raw, over} {
		out, _, err := command(t, "ls", image+":/etc")
		must(t, err)
		for _, want := range []string{"-rwsr-xr-x ", " file\n", "lrwxrwxrwx ", " link -> /etc/file\n", "drwxr-xr-x "} {
			if !strings.Contains(out, want) {
				t.Errorf("ls of %s lacks %q:\n%s", image, want, out)
			}
		}
		if out, _, err := command(t, "ls", image+":etc/deep"); err != nil || !strings.Contains(out, `"\x1b[31m"`) {
			t.Errorf("a name with control characters is shown as %q, %v", out, err)
		}
		if out, _, err := command(t, "ls", image+":/etc/link"); err != nil || strings.Count(out, "\n") != 1 {
			t.Errorf("ls of a link: %q, %v", out, err)
		}
		if out, _, err := command(t, "cat", image+":/etc/link", image+":/etc/out/etc/file"); err != nil || out != "content\ncontent\n" {
			t.Errorf("cat: %q, %v", out, err)
		}
	}
	for _, arg := range []string{raw + ":/none", raw + ":/etc"} {
		if out, _, err := command(t, "cat", arg); err == nil {
			t.Errorf("cat %s printed %q", arg, out)
		}
	}
}

func TestCopy(t *testing.T) {
	raw, over := images(t)
	for _, image := range []string{raw, over} {
		to := t.TempDir()
		_, _, err := command(t, "cp", image+":/etc", image+":/etc/link", to)
		must(t, err)
		_, _, err = command(t, "cp", image+":/etc/file", filepath.Join(to, "renamed"))
		must(t, err)
		for _, name := range []string{"etc/file", "link", "renamed"} {
			data, err := os.ReadFile(filepath.Join(to, name))
			must(t, err)
			info, err := os.Stat(filepath.Join(to, name))
			must(t, err)
			if string(data) != "content\n" || info.Mode() != 0o755 {
				t.Errorf("%s: %q, mode %v", name, data, info.Mode())
			}
		}
		if target, err := os.Readlink(filepath.Join(to, "etc/out")); err != nil || target != "/" {
			t.Errorf("a link leads to %q, %v", target, err)
		}
		// Again, over what is there.
		if _, _, err := command(t, "cp", image+":/etc", to); err != nil {
			t.Error(err)
		}
		if _, _, err := command(t, "cp", image+":/", to); err != nil {
			t.Error(err)
		}
	}
}

// What is in the destination leads a copy nowhere else.
func TestCopyStaysInside(t *testing.T) {
	raw, _ := images(t)
	outside, to := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "file"), []byte("mine"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(to, "etc")))
	if _, _, err := command(t, "cp", raw+":/etc", to); err == nil {
		t.Error("a folder was copied through a link")
	}
	must(t, os.Remove(filepath.Join(to, "etc")))
	must(t, os.Mkdir(filepath.Join(to, "etc"), 0o700))
	must(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(to, "etc/file")))
	if _, _, err := command(t, "cp", raw+":/etc", to); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(data) != "mine" {
		t.Errorf("the file outside is now %q, %v", data, err)
	}
}

func TestRefuses(t *testing.T) {
	raw, _ := images(t)
	f, err := os.OpenFile(raw, os.O_RDWR, 0)
	must(t, err)
	must(t, filelock.Lock(f, filelock.Exclusive))
	if _, _, err := command(t, "ls", raw+":/"); err == nil || !strings.Contains(err.Error(), "guest is using it") {
		t.Errorf("a disk in use: %v", err)
	}
	must(t, f.Close())
	text := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(text, make([]byte, 4096), 0o600))
	for _, arg := range []string{"noColon", ":/x", text + ":/", filepath.Dir(text) + ":/", text + ".none:/"} {
		if _, _, err := command(t, "ls", arg); err == nil {
			t.Errorf("ls %s succeeded", arg)
		}
	}
	if _, _, err := command(t, "ls", raw+":/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	for arg, want := range map[string][2]string{
		"disk:/etc": {"disk", "/etc"}, "debian:12:/etc/x:y": {"debian:12", "/etc/x:y"}, "disk:etc": {"disk", "etc"},
		"pool/disk:": {"pool/disk", "/"}, "/a/b.img:/": {"/a/b.img", "/"},
	} {
		if volume, name, err := parse(arg); err != nil || volume != want[0] || name != want[1] {
			t.Errorf("%s: %q %q %v", arg, volume, name, err)
		}
	}
}

// A disk whose header names a file elsewhere is not read through it without
// the user's word.
func TestForgedHeader(t *testing.T) {
	raw, _ := images(t)
	far := filepath.Join(t.TempDir(), "far")
	must(t, cow.Create(far, raw))
	for _, args := range [][]string{{"ls", far + ":/"}, {"cat", far + ":/etc/file"}, {"cp", far + ":/etc", t.TempDir()}} {
		args = append(args, "--connect", "uml+unix:///system?socket=/nowhere")
		if out, _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), "--backing") || out != "" {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
	if out, _, err := command(t, "cat", far+":/etc/file", "--backing", raw); err != nil || out != "content\n" {
		t.Errorf("with the user's word: %q, %v", out, err)
	}
}
