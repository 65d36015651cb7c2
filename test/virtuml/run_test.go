package virtuml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// run is virtuml run in a shell, with input redirected from a file of the test.
func run(d *testkit.Daemon, args ...string) testkit.Result {
	return d.Run("sh", append([]string{"-c", `exec "$0" run --connect "` + d.URI + `" -m 128M "$@" </dev/null`, program()}, args...)...)
}

// nothing checks that a run has left neither domain nor volume.
func nothing(t *testing.T, d *testkit.Daemon, folder string) {
	t.Helper()
	if left := d.Lines("list", "--all", "--name"); len(left) > 0 {
		t.Errorf("the domains %q are left", left)
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Name() != "bb.img" {
		t.Errorf("the pool holds %v", files)
	}
}

func TestRun(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		for _, test := range []struct {
			name           string
			args           []string
			code           int
			stdout, stderr string
		}{
			{"success", []string{"bb.img", "true"}, 0, "", ""},
			{"status 7", []string{"bb.img", "sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out", "err"},
			{"signal", []string{"bb.img", "sh", "-c", "kill -KILL $$"}, 137, "", ""},
			{"the image's command", []string{"default/bb.img"}, 0, "from the image", ""},
			{"environment", []string{"-e", "A=b c", "bb.img", "sh", "-c", "echo $A $IMAGE $PWD $HOME"}, 0, "b c yes /work /root", ""},
			{"user and folder", []string{"-u", "app", "-w", "/tmp", "bb.img", "sh", "-c", "id -u; id -g; pwd"}, 0, "100\n101\n/tmp", ""},
			{"name", []string{"--name", "web", "bb.img", "hostname"}, 0, "web", ""},
			{"not found", []string{"bb.img", "nosuch"}, 127, "", "virtuml: run: nosuch: not found in PATH"},
			{"not executable", []string{"bb.img", "/etc/passwd"}, 126, "", "virtuml: run: /etc/passwd: not an executable file"},
			{"bytes", []string{"bb.img", "printf", `a\020\000\r\nb`}, 0, "a\x10\x00\r\nb", ""},
		} {
			r := run(d, append([]string{"--rm"}, test.args...)...)
			if r.Code != test.code || r.Stdout != test.stdout || r.Stderr != test.stderr {
				t.Errorf("%s: %d, %q, %q, want %d, %q, %q", test.name, r.Code, r.Stdout, r.Stderr, test.code, test.stdout, test.stderr)
			}
			nothing(t, d, folder)
		}
	})
}

// Failures of virtuml itself are 125, and leave nothing.
func TestRunFails(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		for want, args := range map[string][]string{
			"nosuch.img":                {"--rm", "nosuch.img"},
			"use none or user":          {"--rm", "--net", "bridge", "bb.img"},
			"add --net user":            {"-p", "8080:80", "bb.img"},
			"--memory":                  {"-m", "lots", "bb.img"},
			"no such file or directory": {"-v", "/no/such/folder:/data", "bb.img"},
			"unknown flag":              {"--nosuch", "bb.img"},
			"name an image":             {},
			"are too few":               {"--rm", "-m", "1M", "bb.img"},
			"too few":                   {"-m", "1M", "bb.img"},
		} {
			if r := run(d, args...); r.Code != 125 || !strings.Contains(r.Stderr, want) {
				t.Errorf("%q: %d, %q, want 125 and %q", args, r.Code, r.Stderr, want)
			}
		}
		nothing(t, d, folder)
		d.OK("vol-create-as", "default", "empty.img", "1MiB")
		if r := run(d, "--rm", "empty.img"); r.Code != 125 || !strings.Contains(r.Stderr, "without a result") {
			t.Errorf("an image without a file system: %d, %q", r.Code, r.Stderr)
		}
		d.OK("vol-delete", "empty.img", "--pool", "default")
		nothing(t, d, folder)
	})
}

// Much data goes both ways without loss.
func TestRunPassesData(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		r := d.Run("sh", "-c", `head -c 300000 /dev/urandom >data &&
			"$0" run --connect "$1" --rm -m 128M bb.img cat <data | cmp - data`, program(), d.URI)
		if r.Code != 0 {
			t.Errorf("cat: %d, %q, %q", r.Code, r.Stdout, r.Stderr)
		}
		r = d.Run("sh", "-c", `"$0" run --connect "$1" --rm -m 128M bb.img yes | head -n 1; sleep 0`, program(), d.URI)
		if r.Stdout != "y" {
			t.Errorf("yes: %q, %q", r.Stdout, r.Stderr)
		}
		nothing(t, d, folder)
	})
}

func TestRunShares(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		prepare(t, d)
		folder := filepath.Join(d.Dir, "shared")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		d.Owned(folder)
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		r := run(d, "--rm", "-v", folder+":/data/deep", "-v", folder+":/ro:ro", "bb.img", "sh", "-c", "echo hi >/data/deep/file; cat /ro/file; echo x >/ro/new")
		if r.Code != 1 || r.Stdout != "hi" || !strings.Contains(r.Stderr, "Read-only") {
			t.Errorf("%d, %q, %q", r.Code, r.Stdout, r.Stderr)
		}
		if data, err := os.ReadFile(filepath.Join(folder, "file")); err != nil || string(data) != "hi\n" {
			t.Errorf("the host's file holds %q, %v", data, err)
		}
	})
}

// Signals go to the command; a second one ends the guest.
func TestRunSignals(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		const script = `mkfifo out; "$0" run --connect "$1" --rm -m 128M bb.img sh -c "$2" </dev/null >out & read line <out; kill -TERM $!; `
		r := d.Run("sh", "-c", script+`wait $!; echo "$?"`, program(), d.URI, "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done")
		if r.Stdout != "3" {
			t.Errorf("a handled SIGTERM: %q, %q", r.Stdout, r.Stderr)
		}
		nothing(t, d, folder)
		r = d.Run("sh", "-c", "rm out;"+script+`while kill -TERM $! 2>/dev/null; do sleep 0.1; done; wait $!; echo "$?"`, program(), d.URI, "trap '' TERM; echo up; while :; do sleep 1; done")
		if r.Stdout != "143" {
			t.Errorf("SIGTERM again and again: %q, %q", r.Stdout, r.Stderr)
		}
		nothing(t, d, folder)
	})
}

// Without --rm the guest stays and can be looked into and started again.
func TestRunKeeps(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		prepare(t, d)
		if r := run(d, "--name", "kept", "bb.img", "sh", "-c", "echo content >/file; exit 5"); r.Code != 5 {
			t.Fatalf("%d, %q, %q", r.Code, r.Stdout, r.Stderr)
		}
		if r := run(d, "--name", "kept", "bb.img", "true"); r.Code != 125 {
			t.Errorf("a name that is taken: %d, %q", r.Code, r.Stderr)
		}
		events := d.Events()
		d.OK("start", "kept")
		events.Await("kept", "Stopped")
		d.OK("undefine", "kept")
		if r := d.Run(program(), "image", "cat", filepath.Join(d.Dir, "pool/kept.cow")+":/file"); r.Stdout != "content" {
			t.Errorf("the file in the volume: %d, %q, %q", r.Code, r.Stdout, r.Stderr)
		}
	})
}
