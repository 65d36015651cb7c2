package store

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"virtumld/internal/domxml"
)

func open(t testing.TB) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "config"), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	again, err := Open(s.config.path, s.state.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// document is a small definition; the same title gives the same uuid.
func document(name, title string) string {
	var buf bytes.Buffer
	xml.EscapeText(&buf, []byte(name))
	return fmt.Sprintf("<domain type='uml'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n  <title>%s</title>\n</domain>\n",
		&buf, uuid.NewSHA1(uuid.NameSpaceDNS, []byte(title)), title)
}

// parse reads what document writes. Package domxml's own parser is not under
// test here.
func parse(data []byte) (*domxml.Definition, error) {
	var d struct {
		XMLName xml.Name `xml:"domain"`
		Name    string   `xml:"name"`
		UUID    string   `xml:"uuid"`
		Title   string   `xml:"title"`
	}
	if err := xml.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	id, err := uuid.Parse(d.UUID)
	return &domxml.Definition{Name: d.Name, UUID: id, Title: d.Title}, err
}

func save(t testing.TB, s *Store, name, title string) {
	t.Helper()
	if err := s.SaveConfig(name, document(name, title)); err != nil {
		t.Fatal(err)
	}
}

func loadConfigs(t testing.TB, s *Store) ([]Config, []Problem) {
	t.Helper()
	configs, problems, err := s.LoadConfigs(t.Context(), parse)
	if err != nil {
		t.Fatal(err)
	}
	return configs, problems
}

func title(t testing.TB, s *Store, name string) string {
	t.Helper()
	configs, problems := loadConfigs(t, s)
	for _, c := range configs {
		if c.Def.Name == name {
			return c.Def.Title
		}
	}
	t.Fatalf("no domain %q; problems: %v", name, problems)
	return ""
}

func TestSaveLoadRemove(t *testing.T) {
	s := open(t)
	names := []string{
		"demo", ".", "..", ".hidden", "autostart", "with space", "ünïcode",
		"a<b>&'\"c", "--comment-->", "*?[", strings.Repeat("n", 251), "-rf", "x.xml",
	}
	for i, name := range names {
		save(t, s, name, fmt.Sprint("domain ", i))
	}
	if err := s.SetAutostart("..", true); err != nil {
		t.Fatal(err)
	}

	configs, problems := loadConfigs(t, reopen(t, s))
	if len(problems) != 0 {
		t.Fatalf("problems: %v", problems)
	}
	found := map[string]bool{}
	for _, c := range configs {
		found[c.Def.Name] = true
		if c.Autostart != (c.Def.Name == "..") {
			t.Errorf("domain %q: autostart %v", c.Def.Name, c.Autostart)
		}
	}
	for _, name := range names {
		if !found[name] {
			t.Errorf("domain %q was not read again", name)
		}
		if err := s.RemoveConfig(name); err != nil {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if configs, problems := loadConfigs(t, s); len(configs) != 0 || len(problems) != 0 {
		t.Errorf("after the removal of all: %v, %v", configs, problems)
	}
	if err := s.RemoveConfig("demo"); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

func TestNamesThatCannotBeFiles(t *testing.T) {
	s := open(t)
	for _, name := range []string{"", "a/b", "/etc/passwd", "../x", "a\x00b", "a\nb", strings.Repeat("n", 252)} {
		for what, err := range map[string]error{
			"SaveConfig":   s.SaveConfig(name, "<domain/>"),
			"RemoveConfig": s.RemoveConfig(name),
			"Rename from":  s.Rename(name, "x", "<domain/>"),
			"Rename to":    s.Rename("x", name, "<domain/>"),
			"SetAutostart": s.SetAutostart(name, true),
			"SaveStatus":   s.SaveStatus(Status{Name: name, Document: "<domain/>"}),
			"RemoveStatus": s.RemoveStatus(name),
		} {
			if !errors.Is(err, errName) {
				t.Errorf("%s %.20q: error %v, want errName", what, name, err)
			}
		}
	}
	if configs, problems := loadConfigs(t, s); len(configs) != 0 || len(problems) != 0 {
		t.Errorf("something was written: %v, %v", configs, problems)
	}
}

func TestModesAndNotice(t *testing.T) {
	s := open(t)
	save(t, s, "demo", "x")
	for path, want := range map[string]os.FileMode{
		s.config.path:             os.ModeDir | 0o700,
		s.autostart.path:          os.ModeDir | 0o700,
		s.state.path:              os.ModeDir | 0o700,
		s.config.Join("demo.xml"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
		}
	}
	data, err := os.ReadFile(s.config.Join("demo.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(data), "<!--\n") || !strings.Contains(string(data), "virsh edit demo\n") {
		t.Errorf("the notice is missing:\n%s", data)
	}
}

func TestAutostartLink(t *testing.T) {
	s := open(t)
	save(t, s, "demo", "x")
	for range 2 { // twice is as good as once
		if err := s.SetAutostart("demo", true); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.Readlink(s.autostart.Join("demo.xml")); err != nil || got != s.config.Join("demo.xml") {
		t.Errorf("the link leads to %q (%v), want %q", got, err, s.config.Join("demo.xml"))
	}
	for range 2 {
		if err := s.SetAutostart("demo", false); err != nil {
			t.Fatal(err)
		}
	}
	if configs, _ := loadConfigs(t, s); configs[0].Autostart {
		t.Error("autostart is still on")
	}
}

func TestRename(t *testing.T) {
	for _, autostart := range []bool{false, true} {
		s := open(t)
		save(t, s, "old", "x")
		if err := s.SetAutostart("old", autostart); err != nil {
			t.Fatal(err)
		}
		if err := s.Rename("old", "new", document("new", "x")); err != nil {
			t.Fatal(err)
		}
		configs, problems := loadConfigs(t, s)
		if len(configs) != 1 || len(problems) != 0 || configs[0].Def.Name != "new" || configs[0].Autostart != autostart {
			t.Errorf("autostart %v: after Rename: %+v, %v", autostart, configs, problems)
		}
	}
}

// What is no definition is reported, with its path, and stays as it is.
func TestForeignFilesStay(t *testing.T) {
	s := open(t)
	save(t, s, "good", "x")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(s.config.Join(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("empty.xml", "")
	write("garbage.xml", "\x00\xff<<<")
	write("cut.xml", document("cut", "y")[:40])
	write("other.xml", document("name", "z"))
	write("twin.xml", document("twin", "x"))
	write("notes.txt", "not ours to read")
	write(".xml", "no name")
	if err := os.Truncate(s.config.Join("notes.txt"), 10<<20); err != nil {
		t.Fatal(err)
	}
	write("huge.xml", "")
	if err := os.Truncate(s.config.Join("huge.xml"), documentMax+1); err != nil {
		t.Fatal(err)
	}
	must(t, os.Mkdir(s.config.Join("folder.xml"), 0o700))
	must(t, syscall.Mkfifo(s.config.Join("fifo.xml"), 0o600))
	must(t, os.Symlink("/etc/passwd", s.config.Join("away.xml")))
	must(t, os.Symlink("loop.xml", s.config.Join("loop.xml")))
	must(t, os.Symlink(s.config.Join("gone.xml"), s.autostart.Join("gone.xml")))
	must(t, os.Symlink("/etc/passwd", s.autostart.Join("good.xml")))
	before := listing(t, s.config.path)

	configs, problems := loadConfigs(t, reopen(t, s))
	if len(configs) != 1 || configs[0].Def.Name != "good" || configs[0].Autostart {
		t.Errorf("domains: %+v, want only good, not autostarted", configs)
	}
	reported := map[string]bool{}
	for _, p := range problems {
		reported[p.Path] = true
	}
	for _, path := range []string{"empty.xml", "garbage.xml", "cut.xml", "other.xml", "twin.xml", "huge.xml",
		"folder.xml", "fifo.xml", "away.xml", "loop.xml", "autostart/gone.xml", "autostart/good.xml"} {
		if !reported[s.config.Join(path)] {
			t.Errorf("%s was not reported", path)
		}
	}
	if len(problems) != 12 {
		t.Errorf("%d problems, want 12: %v", len(problems), problems)
	}
	if after := listing(t, s.config.path); after != before {
		t.Errorf("the folder has changed:\n%s\nwas:\n%s", after, before)
	}
}

func TestOpenRemovesLeftTemporaryFiles(t *testing.T) {
	s := open(t)
	for _, f := range []*Folder{s.config, s.autostart, s.state} {
		must(t, os.WriteFile(f.Join(tempName()), []byte("half"), 0o600))
		must(t, os.WriteFile(f.Join("mine.tmp"), nil, 0o600))
	}
	reopen(t, s)
	for _, f := range []*Folder{s.config, s.autostart, s.state} {
		if _, err := os.Stat(f.Join("mine.tmp")); err != nil {
			t.Error("a foreign file was removed:", err)
		}
		must(t, os.Remove(f.Join("mine.tmp")))
		checkNoTemp(t, f.path)
	}
}

func TestLoadStopsWithContext(t *testing.T) {
	s := open(t)
	save(t, s, "vm", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.LoadConfigs(ctx, parse); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestConcurrentSaves(t *testing.T) {
	s := open(t)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			name := fmt.Sprintf("vm%d", i%20)
			if err := s.SaveConfig(name, document(name, name)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if configs, problems := loadConfigs(t, s); len(configs) != 20 || len(problems) != 0 {
		t.Errorf("%d domains, problems %v; want 20 and none", len(configs), problems)
	}
	checkNoTemp(t, s.config.path)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listing names every entry below dir with its mode and size.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			fmt.Fprintln(&all, path, info.Mode(), info.Size())
		}
		return err
	}))
	return all.String()
}
