package contain

import (
	"fmt"
	"syscall"
)

// Plan is what the second stage does before it becomes the kernel.
type Plan struct {
	// Isolated asks for namespaces with a root of their own; else the
	// kernel runs in the host's.
	Isolated bool
	// Root is the host folder that the guest's root is mounted on, in the
	// guest's mount namespace only. Unused when not Isolated.
	Root string
	// Dir is the kernel's working folder, as it sees it.
	Dir string
	// Binds are what the guest's root holds, Folders the empty folders
	// that it has besides.
	Binds   []Bind
	Folders []string
	// ShmBytes is the size of the guest's /dev/shm; 0 means the kernel's
	// default, half of the memory.
	ShmBytes int64
	// User is whom the kernel runs as; nil keeps the caller's ids.
	User *User
	// Access is checked with the kernel's own rights before it runs.
	Access []Access
	// Exec, Args (argv[0] included) and Env are the kernel's, as it sees them.
	Exec      string
	Args, Env []string
	// Hold keeps the kernel from its first instruction until Release.
	Hold bool
}

// User is a numeric user and group.
type User struct{ UID, GID int }

// Bind puts a host file or folder into the guest's root.
type Bind struct {
	Host, Guest string
	ReadOnly    bool
}

// Access is a path that the kernel will need.
type Access struct {
	// Path is as the kernel sees it, Host the same file for error texts.
	Path, Host  string
	Write, Exec bool
}

// Stage says what the second stage was at when it failed.
type Stage string

// The stages of a start.
const (
	// StageNamespace: the host offers no namespaces, or not all of them.
	StageNamespace Stage = "namespace"
	// StageFile: a file of the plan is missing or not permitted.
	StageFile Stage = "file"
	// StageExec: the kernel cannot be executed.
	StageExec Stage = "exec"
	// StageSetup: anything else.
	StageSetup Stage = "setup"
)

// Failure is why the second stage could not become the kernel.
type Failure struct {
	Stage Stage
	// Op is what was tried, Path the host path it was tried on.
	Op, Path string
	Errno    syscall.Errno
}

func (f *Failure) Error() string {
	if f.Path == "" {
		return fmt.Sprintf("cannot %s: %v", f.Op, f.Errno)
	}
	return fmt.Sprintf("cannot %s '%s': %v", f.Op, f.Path, f.Errno)
}

func (f *Failure) Unwrap() error { return f.Errno }

// progress is what the second stage tells on its status pipe. The end of the
// pipe after Exec means that the kernel runs; before it, that the stage died.
type progress struct {
	Held, Exec bool
	Failure    *Failure `json:",omitempty"`
}
