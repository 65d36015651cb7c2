package run

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"virtumld/internal/guestinit"
	"virtumld/internal/virtuml/locate"
)

// flags are the command line's, as they were given.
type flags struct {
	locate.Place
	name, memory, kernel, network string
	user, workdir, entrypoint     string
	volumes, publish, env         []string
	remove, interactive, terminal bool
}

// plan is a run with everything checked that needs no daemon.
type plan struct {
	place       locate.Place
	name        string
	image       string
	memory      uint64 // KiB
	kernel      string // absolute, or ""
	remove      bool
	network     bool
	ports       []port
	shares      []share
	interactive bool
	spec        guestinit.Spec
}

// port is a forwarded port of the host, on all of its addresses or on one.
type port struct {
	protocol    string // tcp or udp
	address     netip.Addr
	host, guest uint16
}

// share is a folder of the host in the guest.
type share struct {
	host, guest string // absolute
	readOnly    bool
}

func randomBits() uint32 { return rand.Uint32N(1 << 24) }

// plan checks the flags.
func (f *flags) plan(image string, args []string, io streams) (plan, error) {
	p := plan{place: f.Place, name: f.name, image: image, remove: f.remove, interactive: f.interactive}
	if p.name == "" {
		p.name = randomName()
	}
	if strings.ContainsAny(p.name, "/\n") {
		return p, fmt.Errorf("--name %q: a name has no slash and no line break", p.name)
	}
	var errs [4]error
	p.memory, errs[0] = parseMemory(f.memory)
	p.shares, errs[1] = parseAll(f.volumes, parseShare)
	p.ports, errs[2] = parseAll(f.publish, parsePort)
	p.kernel, errs[3] = absolute(f.kernel)
	if err := errors.Join(errs[:]...); err != nil {
		return p, err
	}
	switch {
	case f.network == "user":
		p.network = true
	case f.network != "none":
		return p, fmt.Errorf("--net %q: use none or user", f.network)
	case len(p.ports) > 0:
		return p, errors.New("-p forwards ports of a network: add --net user")
	}
	p.spec = guestinit.Spec{
		Hostname: p.name, Args: args, User: f.user, Workdir: f.workdir,
		Env: environment(f.env, io.terminal), Terminal: io.terminal,
		Attached: true, Discard: f.remove,
	}
	if f.entrypoint != "" {
		p.spec.Entrypoint = []string{f.entrypoint}
	}
	for i, s := range p.shares {
		p.spec.Mounts = append(p.spec.Mounts, guestinit.Mount{Share: "/share/" + shareName(i), Target: s.guest, ReadOnly: s.readOnly})
	}
	_, err := guestinit.EncodeDisk(p.spec)
	return p, err
}

// shareName is the target of the i-th share in the domain's document, which
// the daemon puts below /share of the kernel's hostfs.
func shareName(i int) string { return "v" + strconv.Itoa(i) }

func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for _, text := range texts {
		value, err := parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

// parseMemory reads a size in bytes with an optional unit and returns KiB.
func parseMemory(text string) (uint64, error) {
	bad := fmt.Errorf("--memory %q: use a number with the unit K, M or G, such as 256M", text)
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "B"), "I")
	shift := 0
	if n := len(number); n > 0 {
		if unit := strings.IndexByte("KMGT", number[n-1]); unit >= 0 {
			number, shift = number[:n-1], 10*(unit+1)
		}
	}
	value, err := strconv.ParseUint(number, 10, 64)
	if err != nil || value == 0 || value > 1<<60>>shift {
		return 0, bad
	}
	return (value<<shift + 1023) >> 10, nil
}

// parseShare reads HOST:GUEST[:ro|rw].
func parseShare(text string) (share, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !path.IsAbs(parts[1]) {
		return share{}, fmt.Errorf("-v %q: use HOST:GUEST or HOST:GUEST:ro, with an absolute path of the guest", text)
	}
	s := share{guest: path.Clean(parts[1])}
	if len(parts) == 3 {
		switch parts[2] {
		case "ro":
			s.readOnly = true
		case "rw":
		default:
			return share{}, fmt.Errorf("-v %q: %q is neither ro nor rw", text, parts[2])
		}
	}
	if s.guest == "/" {
		return share{}, fmt.Errorf("-v %q: the guest's / is the image", text)
	}
	var err error
	if s.host, err = absolute(parts[0]); err != nil {
		return share{}, err
	}
	info, err := os.Stat(s.host)
	if err != nil {
		return share{}, fmt.Errorf("-v %q: %w", text, err)
	}
	if !info.IsDir() {
		return share{}, fmt.Errorf("-v %q: %s is not a folder", text, s.host)
	}
	return s, nil
}

// parsePort reads [ADDRESS:]HOST:GUEST[/tcp|/udp]. An IPv6 address stands in
// brackets.
func parsePort(text string) (port, error) {
	bad := fmt.Errorf("-p %q: use HOST:GUEST, ADDRESS:HOST:GUEST or either with /udp, the ports from 1 to 65535", text)
	numbers, protocol, given := strings.Cut(text, "/")
	if !given {
		protocol = "tcp"
	}
	if protocol != "tcp" && protocol != "udp" {
		return port{}, bad
	}
	p := port{protocol: protocol}
	rest, guest, ok := cutLast(numbers)
	if address, host, found := cutLast(rest); found {
		var err error
		if p.address, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")); err != nil {
			return port{}, bad
		}
		rest = host
	}
	h, err := strconv.ParseUint(rest, 10, 16)
	g, err2 := strconv.ParseUint(guest, 10, 16)
	if !ok || err != nil || err2 != nil || h == 0 || g == 0 {
		return port{}, bad
	}
	p.host, p.guest = uint16(h), uint16(g)
	return p, nil
}

// cutLast cuts text at its last colon.
func cutLast(text string) (before, after string, found bool) {
	if at := strings.LastIndexByte(text, ':'); at >= 0 {
		return text[:at], text[at+1:], true
	}
	return text, "", false
}

// absolute is filepath.Abs, but for "" that stays.
func absolute(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return filepath.Abs(name)
}

// environment takes NAME=VALUE as it is and NAME from the own environment,
// which has no say if it lacks it.
func environment(words []string, terminal bool) []string {
	var out []string
	if terminal {
		term := os.Getenv("TERM")
		if term == "" {
			term = "vt100"
		}
		out = append(out, "TERM="+term)
	}
	for _, word := range words {
		if strings.Contains(word, "=") {
			out = append(out, word)
		} else if value, ok := os.LookupEnv(word); ok {
			out = append(out, word+"="+value)
		}
	}
	return slices.Clip(out)
}
