package uml

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
)

// The kernel's limits on an umid: UMID_LEN less its NUL
// (arch/um/os-Linux/umid.c), and sockaddr_un's path less its NUL.
const (
	maxUMID       = 63
	maxSocketPath = 107
)

// UMID is the umid that def's guest has: the domain's name where the kernel
// and a file path can carry it, else its uuid.
func (m *Machine) UMID(def *domxml.Definition) string {
	socket := filepath.Join(m.Paths.UMLDir, def.Name, mconsoleName)
	if safeUMID(def.Name) && !takenUMID(def.Name) && len(socket) <= maxSocketPath {
		return def.Name
	}
	return def.UUID.String()
}

// takenUMID refuses the names of the sockets that lie beside the umid folder,
// notify and vecN, and names that may be another domain's umid.
func takenUMID(name string) bool {
	_, err := uuid.Parse(name)
	return err == nil || name == path.Base(supervisor.GuestNotify) || interfaceName.MatchString(name)
}

// interfaceName is that of an interface's socket (supervisor.GuestInterface).
var interfaceName = regexp.MustCompile(`^vec[0-9]+$`)

// safeUMID refuses what would lead out of uml_dir, and what the kernel's
// command line would take apart.
func safeUMID(name string) bool {
	if len(name) > maxUMID || strings.HasPrefix(name, ".") {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return name != ""
}
