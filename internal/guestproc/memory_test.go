package guestproc

import (
	"errors"
	"math"
	"testing"
)

func TestParseMeminfo(t *testing.T) {
	const usual = "MemTotal:         102708 kB\nMemFree:           87840 kB\nMemAvailable:      87144 kB\n" +
		"Buffers:             116 kB\nCached:             1872 kB\nSwapCached:            2 kB\nHugePages_Total:       0\n"
	for name, tt := range map[string]struct {
		text string
		want Memory
		err  error
	}{
		"usual":     {usual, Memory{Total: 102708, Free: 87840, Available: 87144, Caches: 1990}, nil},
		"few":       {"MemTotal: 5 kB", Memory{Total: 5}, nil},
		"empty":     {"", Memory{}, ErrFormat},
		"nonsense":  {"MemTotal: -1 kB\nMemFree:", Memory{}, ErrFormat},
		"too large": {"MemTotal: 99999999999999999999999 kB", Memory{}, ErrFormat},
		"overflow": {"MemTotal: 1\nBuffers: 18446744073709551615\nCached: 18446744073709551615",
			Memory{Total: 1, Caches: math.MaxUint64}, nil},
	} {
		got, err := ParseMeminfo(tt.text)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, tt.want, tt.err)
		}
	}
}

func TestParseVmstat(t *testing.T) {
	for text, want := range map[string]Paging{
		"nr_free_pages 21960\npswpin 3\npswpout 4\npgfault 2175\npgmajfault 18\n": {SwapIn: 12, SwapOut: 16, Major: 18, Minor: 2175},
		"pgfault 0":                              {},
		"pgfault 1\npswpin 18446744073709551615": {Minor: 1, SwapIn: math.MaxUint64},
	} {
		if got, err := ParseVmstat(text); got != want || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	if _, err := ParseVmstat("pgmajfault 1"); !errors.Is(err, ErrFormat) {
		t.Errorf("without faults: %v", err)
	}
}
