package contain_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/contain"
)

// looks tells of two files of the guest for ever, with a fresh word each time.
const looks = `while :; do
	for f in /disk1 /far/away/base; do
		word=none
		if [ -s $f ]; then read word <$f; fi
		if (echo new >>$f) 2>/dev/null; then word="$word writable"; fi
		echo "$f $word"
	done
	if (echo x >/made) 2>/dev/null; then echo "root writable"; else echo "root read-only"; fi
done`

func TestChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	disk, base := write("disk", "mine\n"), write("base", "base\n")
	p, lines := spawnShell(t, looks)
	await(t, lines, "/disk1 none", "/far/away/base none")
	both := contain.Changes{Add: []contain.Bind{
		{Host: disk, Guest: "/disk1"}, {Host: base, Guest: "/far/away/base", ReadOnly: true},
	}}
	for range 2 {
		change(t, p, both)
		await(t, lines, "/disk1 mine writable", "/far/away/base base")
		change(t, p, contain.Changes{Remove: []string{"/disk1", "/far/away/base"}})
		await(t, lines, "/disk1 none", "/far/away/base none", "root read-only")
	}

	var failure *contain.Failure
	both.Add[1].Host = filepath.Join(dir, "absent")
	err := p.Change(t.Context(), both)
	if !errors.As(err, &failure) || failure.Stage != contain.StageFile || failure.Errno != unix.ENOENT {
		t.Errorf("a file that is not there: %v", err)
	}
	both.Add[1] = contain.Bind{Host: base, Guest: "/busybox/below"}
	if err := p.Change(t.Context(), both); err == nil {
		t.Error("a file below a file was mounted")
	}
	await(t, lines, "/disk1 none") // nothing of it stayed

	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(func(use func(map[int]bool)) { use(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := p.Change(t.Context(), both); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("of a guest that has ended: %v", err)
	}
}

func change(t *testing.T, p *contain.Process, changes contain.Changes) {
	t.Helper()
	if err := p.Change(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}
