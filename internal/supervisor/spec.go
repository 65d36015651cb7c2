package supervisor

import "virtumld/internal/domxml"

// Root stands for the guest's root folder in Spec.Args: each argument that
// names a File.Guest path, or something below /uml, has it in front of the
// path ("ubd0=" + Root + "/disk0"). The supervisor replaces it: by nothing in
// namespaces, by a folder of links without. It is a NUL, which no argument of
// a process can hold, so it cannot be taken for anything else.
const Root = "\x00"

// Paths below Root that a guest's Args name.
const (
	// GuestUMLDir is the kernel's uml_dir.
	GuestUMLDir = "/uml/"
	// GuestNotify is the socket for mconsole=notify:.
	GuestNotify = "/uml/notify"
	// GuestHostfs is the folder for hostfs=. Shares are Files below it;
	// it is there, empty, without any.
	GuestHostfs = "/hostfs"
)

// Spec is all that a supervisor needs to run one guest. The daemon writes it
// as spec.json into the guest's folder; nothing else is passed on, so that a
// supervisor outlives its daemon.
type Spec struct {
	// Name and UUID are the domain's; UMID is the guest's umid.
	Name, UUID, UMID string
	// Dir is the guest's own folder on the host, mode 0700: spec.json,
	// state.json, exit.json, the control socket, and uml/ (the guest's
	// uml_dir).
	Dir string
	// UMLDir is the instance's uml_dir, in which the supervisor keeps the
	// entry UMID, so that uml_mconsole finds the guest.
	UMLDir string
	// Owners is the file in which the instance's supervisors remember who
	// owned the files that they gave to User. Needed with User only.
	Owners string
	// Kernel is the kernel binary; Libraries are its ELF interpreter and
	// shared libraries. Absolute host paths.
	Kernel    string
	Libraries []string
	// NoMconsole says that the kernel has no mconsole: its first output
	// counts as its report of being ready.
	NoMconsole bool
	// Args are the kernel's arguments, argv[0] apart. They name files by
	// Root and File.Guest, and channels by descriptor. Disks must carry
	// the flag c: the kernel's own locks would clash with the supervisor's.
	// noreboot must be among them, so that a reboot ends the kernel.
	Args []string
	// Files are what the guest's kernel may open besides its disks.
	Files []File
	// Disks are the guest's ubd devices. The supervisor adds those that come
	// later, so that spec.json has what the guest has.
	Disks []Disk
	// Channels are the guest's console and serial lines, in the order of
	// their descriptors: Channels[i] is inherited as descriptor 3+i.
	Channels []Channel
	// Interfaces are the guest's network interfaces. The supervisor adds
	// those that come later, so that spec.json has what the guest has.
	Interfaces []Interface
	// Virtio are the guest's virtio network devices, of which Args name the
	// sockets (GuestVirtio).
	Virtio []VirtioDevice `json:",omitempty"`
	// ShmBytes is the size of the guest's own /dev/shm.
	ShmBytes int64
	// User, when set, is the unprivileged user of a system instance's guest.
	User *User
	// Contain asks for namespaces. When the host offers none, the guest
	// runs with hostfs= the folder GuestHostfs, and a warning in its log.
	Contain bool
	// LogFile is the guest's log: command line, start and end, and the
	// kernel's stdout and stderr.
	LogFile string
	// Paused holds the kernel back before its first instruction.
	Paused bool

	OnPoweroff, OnReboot, OnCrash domxml.Action
}

// User is a numeric user and group.
type User struct{ UID, GID int }

// Lock is how a supervisor locks a file (open file description locks, which
// also keep out a kernel that somebody starts by hand).
type Lock string

// The locks of a guest's files.
const (
	LockNone   Lock = ""
	LockShared Lock = "shared"
	LockWrite  Lock = "write"
)

// File is a host file or folder that the guest's kernel may open.
type File struct {
	// Host is its absolute path on the host, Guest the path under which
	// the kernel's command line names it: absolute, made of safe
	// characters, such as "/disk0".
	Host, Guest string
	// ReadOnly mounts it read-only.
	ReadOnly bool
	// Lock is taken before the guest starts and held for its life.
	Lock Lock
	// Own gives the file to Spec.User for the guest's life.
	Own bool
}

// Channel is one console or serial line of the guest.
type Channel struct {
	// Line is the kernel's name of the line: "con0", "ssl3".
	Line string
	domxml.Chardev
}
