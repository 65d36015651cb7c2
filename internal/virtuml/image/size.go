package image

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseSize reads a size in bytes with an optional unit K, M, G or T (of
// 1024), as in "2G", "2GiB"; "" is 0.
func parseSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits := strings.TrimRight(text, "KMGTkmgtiBb")
	unit := strings.ToUpper(strings.TrimPrefix(text, digits))
	shift, known := map[string]int{"": 0, "B": 0, "K": 10, "KIB": 10, "M": 20, "MIB": 20, "G": 30, "GIB": 30, "T": 40, "TIB": 40}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n <= 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("--%s %q: give a size such as 512M or 2G", flag, text)
	}
	return n << shift, nil
}

// showSize is a size for people, in powers of 1024.
func showSize(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, i := float64(n), 0
	for ; value >= 1024 && i < len(units)-1; i++ {
		value /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
