package guestproc

import (
	"strconv"
	"strings"
)

// Mount is one mounted filesystem, as a process of the guest sees it.
type Mount struct {
	// Major and Minor are the numbers of its device; Major is 0 for what
	// is on no block device.
	Major, Minor uint32
	// Root is what of the filesystem is mounted, Point where.
	Root, Point string
	// Type is the filesystem's ("ext4"), Source what the guest calls its
	// device ("/dev/root").
	Type, Source string
}

// ParseMountinfo reads /proc/PID/mountinfo (proc_pid_mountinfo(5)).
func ParseMountinfo(text string) ([]Mount, error) {
	var mounts []Mount
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		m, ok := parseMount(fields)
		if !ok {
			return nil, errFormat("PID/mountinfo")
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// parseMount reads fields of this order: id, parent, major:minor, root, point,
// options, any number of optional ones, "-", type, source, options.
func parseMount(fields []string) (Mount, bool) {
	const device, root, point, optional = 2, 3, 4, 6
	if len(fields) < optional {
		return Mount{}, false
	}
	rest := fields[optional:]
	for len(rest) > 0 && rest[0] != "-" {
		rest = rest[1:]
	}
	if len(rest) < 3 {
		return Mount{}, false
	}
	first, second, _ := strings.Cut(fields[device], ":")
	major, errMajor := strconv.ParseUint(first, 10, 32)
	minor, errMinor := strconv.ParseUint(second, 10, 32)
	if errMajor != nil || errMinor != nil {
		return Mount{}, false
	}
	return Mount{
		Major: uint32(major), Minor: uint32(minor),
		Root: unescape(fields[root]), Point: unescape(fields[point]),
		Type: unescape(rest[1]), Source: unescape(rest[2]),
	}, true
}

// unescape reads the three octal digits that stand for a blank, a tab, a line
// break or a backslash.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return printable(out.String())
}
