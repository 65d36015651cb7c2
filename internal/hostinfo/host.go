// Package hostinfo reads what the host is: its processors, memory, NUMA cells
// and identity, from /proc and /sys, counted the way libvirt counts them. It
// knows nothing of domains, connections or libvirt's error codes.
package hostinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// ErrNotFound is in the chain of errors about a processor, cell or page size
// that the host does not have.
var ErrNotFound = errors.New("not found on this host")

// Host reads one host's files. It is safe for concurrent use; every call
// reads anew, apart from the uuid, which stays the same for its life.
type Host struct {
	files fs.FS
	arch  string
	uuid  func() uuid.UUID
}

// Options change what a Host says of itself.
type Options struct {
	// UUID, when set, is the host's uuid.
	UUID uuid.UUID
	// MachineID prefers /etc/machine-id to the firmware's uuid (libvirtd's
	// host_uuid_source = "machine-id").
	MachineID bool
}

// New makes a Host of a tree with proc, sys and etc in it. machine is what
// uname -m says.
func New(files fs.FS, machine string, opts Options) *Host {
	h := &Host{files: files, arch: archName(machine)}
	h.uuid = sync.OnceValue(func() uuid.UUID { return h.findUUID(opts) })
	return h
}

// Local is the host that this process runs on.
func Local(opts Options) (*Host, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("cannot read the machine's name (uname): %w", err)
	}
	return New(os.DirFS("/"), unix.ByteSliceToString(name.Machine[:]), opts), nil
}

// Arch is libvirt's name of the host's architecture, such as "x86_64".
func (h *Host) Arch() string { return h.arch }

// archName maps uname's machine to libvirt's name, which has one name for all
// 32-bit x86 processors (src/util/virarch.c).
func archName(machine string) string {
	switch machine {
	case "i386", "i486", "i586":
		return "i686"
	case "amd64":
		return "x86_64"
	default:
		return machine
	}
}

// read returns a file's text without the space around it.
func (h *Host) read(name string) (string, error) {
	data, err := fs.ReadFile(h.files, name)
	if err != nil {
		return "", fmt.Errorf("cannot read /%s: %w", name, cause(err))
	}
	return strings.TrimSpace(string(data)), nil
}

// readUint reads a file that holds one decimal number.
func (h *Host) readUint(name string) (uint64, error) {
	text, err := h.read(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/%s holds %q, not a number", name, text)
	}
	return n, nil
}

// cause strips the path that fs.PathError repeats.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
