package guestproc

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Kernel is what a guest's kernel calls itself (uname(2)).
type Kernel struct{ Release, Version string }

// ParseKernel reads /proc/version: "Linux version RELEASE (BUILDER) (COMPILER)
// VERSION"; VERSION begins with '#'.
func ParseKernel(text string) (Kernel, error) {
	line := Line(text)
	rest, linux := strings.CutPrefix(line, "Linux version ")
	release, rest, more := strings.Cut(rest, " ")
	if !linux || !more || release == "" {
		return Kernel{}, errFormat("version")
	}
	kernel := Kernel{Release: release}
	if at := strings.LastIndex(rest, " #"); at >= 0 {
		kernel.Version = rest[at+1:]
	}
	return kernel, nil
}

// ParseOSRelease reads /etc/os-release (os-release(5)): its values by their
// names ("PRETTY_NAME").
func ParseOSRelease(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && name != "" && !strings.HasPrefix(name, "#") {
			values[printable(name)] = printable(unquote(value))
		}
	}
	return values
}

// unquote takes a shell's quotes and backslashes away.
func unquote(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
		return value
	}
	inner := value[1 : len(value)-1]
	if value[0] == '\'' {
		return inner
	}
	var out strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		out.WriteByte(inner[i])
	}
	return out.String()
}

// ParseLoad reads /proc/loadavg: the load over 1, 5 and 15 minutes.
func ParseLoad(text string) ([3]float64, error) {
	var load [3]float64
	fields := strings.Fields(text)
	if len(fields) < len(load) {
		return load, errFormat("loadavg")
	}
	for i := range load {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return [3]float64{}, errFormat("loadavg")
		}
		load[i] = n
	}
	return load, nil
}

// ParseTime reads a guest's wall clock from /proc/timer_list
// (kernel/time/timer_list.c): the time since boot, and how far clock 1,
// CLOCK_REALTIME, is from it.
func ParseTime(text string) (time.Time, error) {
	now, offset, clock := int64(-1), int64(-1), ""
	found := false // each of the guest's processors has the clocks once more
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 4 && fields[0] == "now" && fields[1] == "at" && now < 0:
			now = positive(fields[2])
		case len(fields) == 2 && fields[0] == "clock":
			clock = fields[1]
		case len(fields) == 3 && fields[0] == ".offset:" && clock == "1:" && !found:
			offset, found = positive(fields[1]), true
		}
	}
	if now < 0 || offset < 0 || now > math.MaxInt64-offset {
		return time.Time{}, errFormat("timer_list")
	}
	return time.Unix(0, now+offset), nil
}

// positive is -1 for what is no number from 0 on.
func positive(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
