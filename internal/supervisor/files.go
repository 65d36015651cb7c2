package supervisor

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	if err := readJSON(dir, specFile, spec); err != nil {
		return "", err
	}
	for _, file := range spec.Files {
		if file.Guest == guest {
			return file.Host, nil
		}
	}
	return "", fmt.Errorf("%s has no file %s: %w", dir, guest, fs.ErrNotExist)
}

// writeJSON replaces dir/name at once. It is not made durable: after a crash
// of the host there is no guest.
func writeJSON(dir, name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readJSON(dir, name string, v any) error {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return nil
}
