package guestproc

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseKernel(t *testing.T) {
	for text, want := range map[string]Kernel{
		"Linux version 6.1.176 (buildd@x86) (gcc (Debian 12.2.0) 12.2.0, GNU ld 2.40) #1 Sat Jul  4 15:38:16 UTC 2026\n": {
			Release: "6.1.176", Version: "#1 Sat Jul  4 15:38:16 UTC 2026"},
		"Linux version 7.2 x": {Release: "7.2"},
	} {
		if got, err := ParseKernel(text); got != want || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "Linux version ", "Linux version 6.1", "Linux version  x", "FreeBSD 14"} {
		if got, err := ParseKernel(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestParseOSRelease(t *testing.T) {
	text := "# a comment\nNAME=\"Debian \\\"GNU\\\"/Linux\"\nID=debian\n\nVERSION_ID='12'\nLONE\n=x\nODD=\"\nBELL=a\x07b\xff\n"
	want := map[string]string{"NAME": `Debian "GNU"/Linux`, "ID": "debian", "VERSION_ID": "12", "ODD": `"`, "BELL": "a?b?"}
	if got := ParseOSRelease(text); !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseLoad(t *testing.T) {
	if got, err := ParseLoad("0.25 1.00 12.50 1/39 691\n"); got != [3]float64{0.25, 1, 12.5} || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "1 2", "a b c", "1 2 NaN", "Inf 0 0"} {
		if got, err := ParseLoad(bad); got != [3]float64{} || !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	const usual = "Timer List Version: v0.9\nHRTIMER_MAX_CLOCK_BASES: 8\nnow at 2000000001 nsecs\n\ncpu: 0\n clock 0:\n  .offset:     0 nsecs\n" +
		"active timers:\n clock 1:\n  .index:      1\n  .offset:     1795697742000000002 nsecs\n clock 2:\n  .offset:     5 nsecs\ncpu: 1\n clock 1:\n  .offset:     7 nsecs\n"
	if got, err := ParseTime(usual); !got.Equal(time.Unix(1795697744, 3)) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{
		"", "now at 5 nsecs", strings.Replace(usual, "2000000001", "x", 1), strings.Replace(usual, "1795697742000000002", "-5", 1),
		strings.Replace(usual, "1795697742000000002", "9223372036854775807", 1),
	} {
		if got, err := ParseTime(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{"uml\n": "uml", "": "", " a b\nc": "a b", "\x1b[31m": "?[31m", strings.Repeat("x", 5000): strings.Repeat("x", 4096)} {
		if got := Line(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestParseMountinfo(t *testing.T) {
	const usual = "16 1 98:0 / / rw,relatime - ext4 /dev/root rw\n18 16 0:15 / /proc rw - proc proc rw\n" +
		`30 16 98:17 /sub /a\040b\134c rw master:1 shared:2 - ext4 /dev/ubdb1 rw` + "\n"
	want := []Mount{
		{98, 0, "/", "/", "ext4", "/dev/root"},
		{0, 15, "/", "/proc", "proc", "proc"},
		{98, 17, "/sub", `/a b\c`, "ext4", "/dev/ubdb1"},
	}
	if got, err := ParseMountinfo(usual); !slices.Equal(got, want) || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"16 1", "16 1 98:0 / / rw ext4 /dev/root rw", "16 1 98:0 / / rw - ext4", "16 1 98 / / rw - ext4 x rw", "16 1 a:0 / / rw - ext4 x rw"} {
		if got, err := ParseMountinfo(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
	if got := unescape(`\9 \04 \777\040`); got != `\9 \04 \777 ` {
		t.Errorf("%q", got)
	}
}

// FuzzParsers checks that no text makes trouble, and that what comes out of one
// can be shown.
func FuzzParsers(f *testing.F) {
	for _, text := range []string{
		"", "MemTotal: 5 kB\n", "pgfault 1\n", "98 0 ubda 1 0 2 3 5 0 6 7 0 0 0 0 0 0 0 8 9\n",
		"16 1 98:0 / /a\\040b rw - ext4 /dev/root rw\n", "Linux version 6.1 (x) #1\n", "NAME=\"a\\\"\"\n", "1 2 3\n",
		"now at 5 nsecs\n clock 1:\n .offset: 6 nsecs\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ParseMeminfo(text)
		_, _ = ParseVmstat(text)
		_, _ = ParseLoad(text)
		if at, err := ParseTime(text); err == nil && at.Unix() < 0 {
			t.Errorf("the time is %v", at)
		}
		shown := []string{Line(text)}
		if kernel, err := ParseKernel(text); err == nil {
			shown = append(shown, kernel.Release, kernel.Version)
		}
		disks, _ := ParseDiskstats(text)
		for name := range disks {
			shown = append(shown, name)
		}
		mounts, _ := ParseMountinfo(text)
		for _, m := range mounts {
			shown = append(shown, m.Point, m.Root, m.Type, m.Source)
		}
		for name, value := range ParseOSRelease(text) {
			shown = append(shown, name, value)
		}
		for _, s := range shown {
			if s != printable(s) {
				t.Errorf("%q cannot be shown", s)
			}
		}
	})
}
