package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// faultyDisk counts every step that changes something and spoils one of them.
type faultyDisk struct {
	disk
	steps []string
	// failAt is the step that goes wrong, counted from 0.
	failAt int
	// crash makes all later steps fail too, as if the process had gone.
	crash bool
}

var errFault = &os.PathError{Op: "fault", Err: syscall.ENOSPC}

func (d *faultyDisk) step(name string) error {
	n := len(d.steps)
	d.steps = append(d.steps, name)
	if n == d.failAt || d.crash && n > d.failAt {
		return errFault
	}
	return nil
}

func (d *faultyDisk) Create(name string) (file, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	f, err := d.disk.Create(name)
	return &faultyFile{f, d}, err
}

func (d *faultyDisk) Rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	return d.disk.Rename(from, to)
}

func (d *faultyDisk) Remove(name string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	return d.disk.Remove(name)
}

func (d *faultyDisk) Symlink(target, name string) error {
	if err := d.step("symlink"); err != nil {
		return err
	}
	return d.disk.Symlink(target, name)
}

func (d *faultyDisk) Sync() error {
	if err := d.step("sync folder"); err != nil {
		return err
	}
	return d.disk.Sync()
}

type faultyFile struct {
	file
	disk *faultyDisk
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.disk.step("write"); err != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, err
	}
	return f.file.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.disk.step("sync file"); err != nil {
		return err
	}
	return f.file.Sync()
}

// The steps of a define, in the only order that is safe against a power cut.
func TestSaveConfigSyncsBeforeAndAfterRename(t *testing.T) {
	s := open(t)
	d := &faultyDisk{disk: s.config.disk, failAt: -1}
	s.config.disk = d
	save(t, s, "vm", "new")
	want := []string{"create", "write", "sync file", "rename", "sync folder"}
	if !slices.Equal(d.steps, want) {
		t.Errorf("steps of SaveConfig: %q, want %q", d.steps, want)
	}
}

// Whatever step fails, or is the last before a crash, the file has the old
// content or the new one, and the next Open leaves no temporary file.
func TestSaveConfigFault(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for failAt := range 5 {
			s := open(t)
			save(t, s, "vm", "old")
			d := &faultyDisk{disk: s.config.disk, failAt: failAt, crash: crash}
			s.config.disk = d

			err := s.SaveConfig("vm", document("vm", "new"))
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("step %d, crash %v: error %v, want ENOSPC", failAt, crash, err)
			}
			step := d.steps[failAt]
			dir := s.config.path
			if !crash {
				checkNoTemp(t, dir)
			}
			reopened := reopen(t, s)
			checkNoTemp(t, dir)

			want := "old"
			if step == "sync folder" { // the rename has happened
				want = "new"
			}
			if got := title(t, reopened, "vm"); got != want {
				t.Errorf("after a fault in %q, crash %v: content %q, want %q", step, crash, got, want)
			}
		}
	}
}

// A rename cut short at any step leaves the domain under one of its names at
// least, with its autostart setting, and never loses it.
func TestRenameFault(t *testing.T) {
	const steps = 12 // more than a rename has, in one folder
	for failAt := range steps {
		for _, inConfig := range []bool{true, false} {
			s := open(t)
			save(t, s, "old", "x")
			if err := s.SetAutostart("old", true); err != nil {
				t.Fatal(err)
			}
			spoiled := s.autostart
			if inConfig {
				spoiled = s.config
			}
			d := &faultyDisk{disk: spoiled.disk, failAt: failAt, crash: true}
			spoiled.disk = d
			err := s.Rename("old", "new", document("new", "x"))

			configs, _ := loadConfigs(t, reopen(t, s))
			if len(configs) != 1 {
				t.Fatalf("step %d: %d domains left, want 1", failAt, len(configs))
			}
			if err == nil && (configs[0].Def.Name != "new" || !configs[0].Autostart) {
				t.Errorf("step %d: Rename succeeded but left %q, autostart %v", failAt, configs[0].Def.Name, configs[0].Autostart)
			}
		}
	}
}

func checkNoTemp(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), tempSuffix) {
			t.Errorf("temporary file left: %s", filepath.Join(dir, e.Name()))
		}
	}
}
