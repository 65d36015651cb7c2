package guestproc

import (
	"errors"
	"maps"
	"math"
	"testing"
)

func TestParseDiskstats(t *testing.T) {
	const largest = "18446744073709551615"
	for name, tt := range map[string]struct {
		text string
		want map[string]Disk
		err  error
	}{
		"usual": {
			"  98       0 ubda 59 80 3928 80 33 0 1900 8 0 80 89 0 0 0 0 3 2\n  98       1 ubda1 1 0 2 3 4 0 5 6 0 0 0 0 0 0 0 0 0\n\n",
			map[string]Disk{
				"ubda":  {Read: IO{59, 3928 * 512, 80e6}, Write: IO{33, 1900 * 512, 8e6}, Flush: IO{3, 0, 2e6}},
				"ubda1": {Read: IO{1, 1024, 3e6}, Write: IO{4, 2560, 6e6}},
			}, nil,
		},
		"before Linux 4.18": {"98 0 ubda 1 0 2 3 4 0 5 6 0 0 0", map[string]Disk{"ubda": {Read: IO{1, 1024, 3e6}, Write: IO{4, 2560, 6e6}}}, nil},
		"no disks":          {"", map[string]Disk{}, nil},
		"too short":         {"98 0 ubda 1 0 2 3 4 0 5 6 0 0", nil, ErrFormat},
		"negative":          {"98 0 ubda -1 0 2 3 4 0 5 6 0 0 0", nil, ErrFormat},
		"huge": {
			"98 0 ubda 1 0 " + largest + " 3 4 0 5 " + largest + " 0 0 0",
			map[string]Disk{"ubda": {Read: IO{1, math.MaxUint64, 3e6}, Write: IO{4, 2560, math.MaxUint64}}}, nil,
		},
	} {
		got, err := ParseDiskstats(tt.text)
		if !maps.Equal(got, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, tt.want, tt.err)
		}
	}
}

func TestDiskAdd(t *testing.T) {
	a := Disk{Read: IO{1, 2, 3}, Write: IO{4, 5, 6}, Flush: IO{7, 8, math.MaxUint64}}
	if got, want := a.Add(a), (Disk{Read: IO{2, 4, 6}, Write: IO{8, 10, 12}, Flush: IO{14, 16, math.MaxUint64}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
