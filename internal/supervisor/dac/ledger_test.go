package dac

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var guestUser = User{54323, 54323}

func file(t *testing.T, dir, name string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func ownedBy(t *testing.T, path string, want int) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := int(info.Sys().(*syscall.Stat_t).Uid); got != want {
		t.Errorf("%s is of user %d, want %d", filepath.Base(path), got, want)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGiveAndReturn(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	l := Open(filepath.Join(dir, "owners"))
	disk, shared, public := file(t, dir, "disk", 0o600), file(t, dir, "shared", 0o600), file(t, dir, "public", 0o644)
	must(t, os.Chown(shared, 12345, 12345))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink("shared", link))

	must(t, l.Give("a", guestUser, []File{{disk, true}, {shared, false}, {public, false}}))
	// The ledger is on disk alone: another process knows as much.
	must(t, Open(l.path).Give("b", guestUser, []File{{link, false}}))
	ownedBy(t, disk, guestUser.UID)
	ownedBy(t, shared, guestUser.UID)
	ownedBy(t, public, 0) // readable as it is

	must(t, l.Return("a"))
	ownedBy(t, disk, 0)
	ownedBy(t, shared, guestUser.UID) // b has it still
	must(t, l.Return("a"))            // no harm
	must(t, l.Return("b"))
	ownedBy(t, shared, 12345)
}

func TestKeep(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	l := Open(filepath.Join(dir, "owners"))
	disk, backing, other := file(t, dir, "disk", 0o600), file(t, dir, "backing", 0o600), file(t, dir, "other", 0o600)
	must(t, l.Give("a", guestUser, []File{{disk, true}, {backing, false}, {other, true}}))
	must(t, l.Give("b", guestUser, []File{{other, true}}))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink("backing", link))
	must(t, l.Keep("a", []string{link, filepath.Join(dir, "absent")}))
	ownedBy(t, disk, 0)
	ownedBy(t, backing, guestUser.UID)
	ownedBy(t, other, guestUser.UID) // b has it still
	must(t, l.Return("b"))
	ownedBy(t, other, 0)
	must(t, l.Return("a"))
	ownedBy(t, backing, 0)
}

func TestReturnLeavesOthersAlone(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	l := Open(filepath.Join(dir, "owners"))
	changed, replaced, removed := file(t, dir, "changed", 0o600), file(t, dir, "replaced", 0o600), file(t, dir, "removed", 0o600)
	for _, path := range []string{changed, replaced, removed} {
		must(t, os.Chown(path, 12345, 12345))
	}
	must(t, l.Give("a", guestUser, []File{{changed, true}, {replaced, true}, {removed, true}}))
	must(t, os.Chown(changed, 777, 777))
	must(t, os.Rename(replaced, replaced+".old"))
	file(t, dir, "replaced", 0o600)
	must(t, os.Remove(removed))
	must(t, l.Return("a"))
	ownedBy(t, changed, 777)
	ownedBy(t, replaced, 0)
}

func TestGiveMissing(t *testing.T) {
	dir := t.TempDir()
	l := Open(filepath.Join(dir, "owners"))
	if err := l.Give("a", guestUser, []File{{filepath.Join(dir, "absent"), true}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Give: %v", err)
	}
}

func TestReturnWithoutLedger(t *testing.T) {
	dir := t.TempDir()
	must(t, Open(filepath.Join(dir, "owners")).Return("a"))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("made %v, %v", entries, err)
	}
}

func TestUsable(t *testing.T) {
	user := User{10, 20}
	for _, c := range []struct {
		uid, gid, mode uint32
		write, want    bool
	}{
		{10, 0, 0o600, true, true}, {10, 0, 0o400, true, false}, {10, 0, 0o066, false, false},
		{0, 20, 0o640, false, true}, {0, 20, 0o640, true, false}, {0, 20, 0o604, false, false},
		{0, 0, 0o644, false, true}, {0, 0, 0o644, true, false}, {0, 0, 0o666, true, true},
	} {
		st := &unix.Stat_t{Uid: c.uid, Gid: c.gid, Mode: 0o100000 | c.mode}
		if got := usable(st, user, c.write); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
