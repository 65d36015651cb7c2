package supervisor

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/process"
)

// Files in Spec.Dir.
const (
	specFile    = "spec.json"
	stateFile   = "state.json"
	exitFile    = "exit.json"
	controlFile = "control"
	stderrFile  = "supervisor.log" // what a dying supervisor says
	umlFolder   = "uml"
	rootFolder  = "root"
)

// state is state.json: what is needed to clean up after a supervisor that was
// killed.
type state struct {
	Supervisor process.ID
	Guest      process.ID
	Facts      Facts
}

func (s *Spec) path(name string) string { return filepath.Join(s.Dir, name) }

// uml is the guest's uml_dir on the host.
func (s *Spec) uml() string { return s.path(umlFolder) }

// mconsole is the guest's mconsole socket on the host.
func (s *Spec) mconsole() string { return filepath.Join(s.uml(), s.UMID, "mconsole") }

// HostFile is the host path of the file that the guest of dir knows as guest
// (see File). The error is fs.ErrNotExist when there is no guest or no such
// file.
func HostFile(dir, guest string) (string, error) {
	spec := &Spec{}
	if err := rundir.ReadJSON(dir, specFile, spec); err != nil {
		return "", err
	}
	for _, file := range spec.files() {
		if file.Guest == guest {
			return file.Host, nil
		}
	}
	return "", fmt.Errorf("%s has no file %s: %w", dir, guest, fs.ErrNotExist)
}
