package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/mconsole"
	"virtumld/internal/virerr"
)

// umidEntry is the guest's folder in the instance's uml_dir, made to look like
// one that a kernel makes itself, so that uml_mconsole finds the guest.
type umidEntry struct {
	dir   string
	relay *mconsole.Relay
}

// claim makes the entry. A live guest of that umid is an error; what a dead
// one left is removed.
func claim(spec *Spec) (*umidEntry, error) {
	if err := os.MkdirAll(spec.UMLDir, 0o700); err != nil {
		return nil, fileError("make", spec.UMLDir, err)
	}
	e := &umidEntry{dir: filepath.Join(spec.UMLDir, spec.UMID)}
	if alive(e.dir) {
		return nil, virerr.New(libvirt.ErrOperationInvalid,
			"another guest runs with the umid '%s': %s is in use", spec.UMID, e.dir)
	}
	if err := os.RemoveAll(e.dir); err != nil {
		return nil, fileError("remove", e.dir, err)
	}
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return nil, fileError("make", e.dir, err)
	}
	var err error
	// A guest in a network namespace of its own cannot answer uml_mconsole,
	// so that its real socket would be of no use here.
	guest := mconsole.New(spec.mconsole(), mconsole.ReplyIn(spec.uml()))
	if e.relay, err = mconsole.Serve(filepath.Join(e.dir, "mconsole"), guest); err != nil {
		return nil, errors.Join(fileError("listen in", e.dir, err), os.RemoveAll(e.dir))
	}
	return e, nil
}

// setPID writes the pid file of a kernel that has been started.
func (e *umidEntry) setPID(pid int) error {
	return os.WriteFile(filepath.Join(e.dir, "pid"), fmt.Appendf(nil, "%d\n", pid), 0o644)
}

func (e *umidEntry) remove() error {
	return errors.Join(e.relay.Close(), os.RemoveAll(e.dir))
}

// alive says whether a guest uses the umid folder dir. A pid may be anybody's
// by now, so the socket decides where there is one; a kernel that boots has
// its pid file first and the socket later.
func alive(dir string) bool {
	fd, err := unix.Open(filepath.Join(dir, "mconsole"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		conn, err := net.Dial("unixgram", fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil {
			conn.Close()
		}
		return !errors.Is(err, unix.ECONNREFUSED)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(cmdline), "umid="+filepath.Base(dir))
}
