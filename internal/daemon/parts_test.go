package daemon

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"virtumld/internal/config"
	"virtumld/internal/supervisor"
)

func TestParseArgs(t *testing.T) {
	info, debug := slog.LevelInfo, slog.LevelDebug
	for _, tt := range []struct {
		args    string
		want    Options
		command Command
	}{
		{"", Options{Root: "/"}, CommandRun},
		{"--timeout=120", Options{Root: "/", Timeout: 2 * time.Minute}, CommandRun},
		{"-t 30 -v", Options{Root: "/", Timeout: 30 * time.Second, LogLevel: &info}, CommandRun},
		{"--timeout 0 --log-level debug", Options{Root: "/", LogLevel: &debug}, CommandRun},
		{"-f /a -p /b --root /c", Options{Config: "/a", PIDFile: "/b", Root: "/c"}, CommandRun},
		{"--config=/a --pid-file=/b --root=/c/", Options{Config: "/a", PIDFile: "/b", Root: "/c"}, CommandRun},
		{"--help", Options{Root: "/"}, CommandHelp},
		{"-h", Options{Root: "/"}, CommandHelp},
		{"-V", Options{Root: "/"}, CommandVersion},
	} {
		got, command, err := ParseArgs(strings.Fields(tt.args))
		if err != nil || command != tt.command {
			t.Errorf("ParseArgs(%q) = %v, %v", tt.args, command, err)
			continue
		}
		if (got.LogLevel == nil) != (tt.want.LogLevel == nil) || got.LogLevel != nil && *got.LogLevel != *tt.want.LogLevel {
			t.Errorf("ParseArgs(%q): log level %v, want %v", tt.args, got.LogLevel, tt.want.LogLevel)
		}
		got.LogLevel, tt.want.LogLevel = nil, nil
		if got != tt.want {
			t.Errorf("ParseArgs(%q) = %+v, want %+v", tt.args, got, tt.want)
		}
	}
	for _, bad := range []string{
		"--timeout", "--timeout=x", "--timeout=-1", "--timeout=2147484", "--log-level loud",
		"--daemon", "extra", "--config=", "--verbose=perhaps",
	} {
		if _, _, err := ParseArgs(strings.Fields(bad)); err == nil {
			t.Errorf("ParseArgs(%q) succeeded", bad)
		}
	}
}

// TestUsage: --help, the man page and the flags name the same options.
func TestUsage(t *testing.T) {
	var declared []string
	flagSet(&Options{}, new(bool), new(bool)).VisitAll(func(f *flag.Flag) {
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		declared = append(declared, dashes+f.Name)
	})
	slices.Sort(declared)

	helped := regexp.MustCompile(`(^|[ ,])(--?[a-zA-Z][-a-z]*)`).FindAllStringSubmatch(optionLines(Usage), -1)
	if got := sortedMatches(helped, 2); !slices.Equal(got, declared) {
		t.Errorf("--help has %q, the flags are %q", got, declared)
	}

	page, err := os.ReadFile("../../docs/virtumld.8")
	if err != nil {
		t.Fatal(err)
	}
	paged := regexp.MustCompile(`(?m)(?:^\.It|,) Fl (-?[a-zA-Z][-a-z]*)`).FindAllStringSubmatch(string(page), -1)
	got := sortedMatches(paged, 1)
	for i := range got {
		got[i] = "-" + got[i]
	}
	slices.Sort(got)
	if !slices.Equal(got, declared) {
		t.Errorf("virtumld.8 has %q, the flags are %q", got, declared)
	}
	for _, key := range config.Keys() {
		if !strings.Contains(string(page), ".It Ic "+key+"\n") {
			t.Errorf("virtumld.8 does not describe the setting %s", key)
		}
	}
}

// optionLines are the lines of a help text that begin with an option.
func optionLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if option, _, _ := strings.Cut(strings.TrimSpace(line), "   "); strings.HasPrefix(option, "-") {
			option, _, _ = strings.Cut(option, "  ")
			lines = append(lines, " "+option)
		}
	}
	return strings.Join(lines, "\n")
}

func sortedMatches(matches [][]string, group int) []string {
	var out []string
	for _, m := range matches {
		out = append(out, m[group])
	}
	slices.Sort(out)
	return out
}

func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "virtumld.pid")
	first, err := acquire(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprintf("%d\n", os.Getpid())
	if text, err := os.ReadFile(path); err != nil || string(text) != pid {
		t.Errorf("the file holds %q, %v, want %q", text, err, pid)
	}
	_, err = acquire(path, time.Millisecond)
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "process "+strings.TrimSpace(pid)+" holds "+path) {
		t.Errorf("a second acquire = %v", err)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	again, err := acquire(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}

// TestPIDFileWaits: a daemon that is about to end is waited for.
func TestPIDFileWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "virtumld.pid")
	first, err := acquire(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		second, err := acquire(path, time.Minute)
		if err == nil {
			err = second.release()
		}
		waited <- err
	}()
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("the second acquire = %v", err)
	}
}

func TestPIDFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "victim"), filepath.Join(dir, "pid")); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(filepath.Join(dir, "pid"), 0); err == nil {
		t.Error("acquire followed a symbolic link")
	}
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		i := newIdle(10 * time.Second)
		i.start(busy.Load)
		ended := func() bool {
			select {
			case <-i.expired:
				return true
			default:
				return false
			}
		}
		time.Sleep(9 * time.Second)
		i.changed() // starts anew
		time.Sleep(9 * time.Second)
		busy.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if ended() {
			t.Fatal("ended while busy")
		}
		busy.Store(false)
		i.changed()
		time.Sleep(9 * time.Second)
		if ended() {
			t.Fatal("ended too early after the last change")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !ended() {
			t.Fatal("not ended when idle")
		}
		i.changed() // too late, and harmless
		i.stop()
	})
}

func TestIdleWithoutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIdle(0)
		i.start(func() bool { return false })
		i.changed()
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		select {
		case <-i.expired:
			t.Error("ended without a timeout")
		default:
		}
	})
}

func TestJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJournalHandler(&out, slog.LevelInfo))
	log.Debug("no")
	log.Info("serving", "level", 3)
	log.With("domain", "demo").WithGroup("g").Warn("slow", "level", "kept")
	log.Error("two\nlines")
	want := "<6>msg=serving level=3\n<4>msg=slow domain=demo g.level=kept\n<3>msg=\"two\\nlines\"\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestIsJournal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, stream := range []string{"", "1:2", "x"} {
		if isJournal(f, stream) {
			t.Errorf("JOURNAL_STREAM=%q taken for this file", stream)
		}
	}
}

func TestGuestUser(t *testing.T) {
	if u, err := guestUser(config.Config{User: "+4711"}); err != nil || *u != (supervisor.User{UID: 4711, GID: 4711}) {
		t.Errorf("user +4711: %+v, %v", u, err)
	}
	if u, err := guestUser(config.Config{User: "root", Group: "4712"}); err != nil || *u != (supervisor.User{UID: 0, GID: 4712}) {
		t.Errorf("user root, group 4712: %+v, %v", u, err)
	}
	if u, err := guestUser(config.Config{}); err != nil || u.UID == 0 {
		t.Errorf("the default user: %+v, %v", u, err)
	}
	for _, c := range []config.Config{{User: "no-such-user"}, {Group: "no-such-group"}} {
		if u, err := guestUser(c); err == nil {
			t.Errorf("%+v: %+v, want an error", c, u)
		}
	}
}

func TestSocketAccess(t *testing.T) {
	gid, mode, err := socketAccess(config.Config{SocketGroup: "root", ReadWritePerms: 0o770})
	if err != nil || gid != 0 || mode != 0o770 {
		t.Errorf("group root: %d, %s, %v", gid, mode, err)
	}
	if _, _, err := socketAccess(config.Config{SocketGroup: "no-such-group"}); err == nil {
		t.Error("a group that does not exist was taken")
	}
	if _, mode, err = socketAccess(config.Default()); err != nil || mode&0o007 != 0 {
		t.Errorf("by default: %s, %v", mode, err)
	}
	if got := withoutGroup(0o770); got != fs.FileMode(0o700) {
		t.Errorf("without a group: %s", got)
	}
}
