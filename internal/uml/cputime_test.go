package uml

import "testing"

func TestParseStat(t *testing.T) {
	text := "12 (a ) b) S 1 12 12 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 99 1000 55 6 7 8 9 10 11 12 13 14 15 16 17 18 19 3 0 0"
	if got, want := parseStat([]byte(text)), (stat{user: 40, system: 60, rss: 55, processor: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "12 (x) S 1", "12 (x) S 1 2 3 4 5 6 7 8 9 10 a b c d"} {
		if got := parseStat([]byte(bad)); got != (stat{}) {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
