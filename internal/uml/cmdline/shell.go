package cmdline

import (
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/kernel"
)

// ShellOptions are what the definition does not say of a kernel that a shell
// runs.
type ShellOptions struct {
	// UMID is the guest's umid; UMLDir the folder of all guests' umids.
	UMID, UMLDir string
	// Backing maps the unit of each COW disk to its backing file.
	Backing map[int]string
	// Socket tells the host path of an interface's socket, by its unit.
	Socket func(unit int) string
}

// emptyShare is the folder to which hostfs is confined in a guest without
// shares; package native reads it as none.
const emptyShare = "/var/empty"

// Shell is the command line of def for a shell: that of Build with the host's
// own paths, and with channels in place of the supervisor's descriptors. What a
// kernel alone cannot do is told in comments before it. Its errors are those
// of Build, and ErrConfigUnsupported for what a kernel's syntax cannot carry.
func Shell(def *domxml.Definition, caps *kernel.Caps, options ShellOptions) (string, error) {
	line, err := Build(def, caps, Options{UMID: options.UMID, Backing: options.Backing})
	if err != nil {
		return "", err
	}
	s := &shell{def: def, options: options, channels: line.Channels}
	own := len(line.Args)
	if words, ok := split(def.OS.Cmdline); ok {
		own -= len(words)
	}
	for _, arg := range line.Args[:own] {
		if err := s.argument(arg); err != nil {
			return "", err
		}
	}
	if err := s.disks(line.Disks); err != nil {
		return "", err
	}
	if err := s.interfaces(); err != nil {
		return "", err
	}
	s.words = append(s.words, line.Args[own:]...)
	if n := len(strings.Join(s.words, " ")); n > maxLength {
		return "", unsupported("the kernel's command line would have %d bytes with the host's paths, more than %d", n, maxLength)
	}
	return s.text(caps.Path), nil
}

// shell turns our arguments into those of a shell.
type shell struct {
	def       *domxml.Definition
	options   ShellOptions
	channels  []supervisor.Channel
	words     []string
	redirects []string
	notes     []string
}

// argument turns one of Build's own arguments.
func (s *shell) argument(arg string) error {
	name, _, _ := strings.Cut(arg, "=")
	switch {
	case name == "uml_dir":
		s.add("uml_dir=" + strings.TrimSuffix(s.options.UMLDir, "/") + "/")
	case name == "mconsole": // the supervisor's socket
	case name == "virtio_uml.device": // among the interfaces
	case arg == "noreboot":
		// It has the supervisor restart the guest; a shell does not.
		if s.def.OnReboot == domxml.ActionDestroy {
			s.add(arg)
		}
	case name == "initrd":
		s.add("initrd=" + s.def.OS.Initrd)
	case name == "hostfs":
		return s.share()
	case arg == "rootflags="+rootShare:
		s.add("rootflags=/")
	case strings.Contains(arg, "=fd:"):
		return s.channel(name)
	default:
		s.add(arg)
	}
	return nil
}

func (s *shell) add(word string) { s.words = append(s.words, word) }

// note adds a comment, which must not end before its line does.
func (s *shell) note(text string) {
	s.notes = append(s.notes, "# "+strings.NewReplacer("\n", " ", "\r", " ").Replace(text))
}

// disks gives each disk its unit.
func (s *shell) disks(made []supervisor.Disk) error {
	for _, disk := range made {
		if disk.Arg == NoDisk().Arg {
			s.add(disk.Arg)
		}
	}
	for _, disk := range s.def.Disks {
		if err := s.disk(disk); err != nil {
			return err
		}
	}
	return nil
}

// disk is a disk with its own path and, for a COW file, that of its backing
// file, which the kernel needs to make the COW file. The kernel locks it.
func (s *shell) disk(disk domxml.Disk) error {
	files := []string{disk.Path, "", disk.Serial}
	if disk.COW {
		files[1] = s.options.Backing[disk.Unit]
	}
	for _, name := range files[:2] {
		if strings.ContainsAny(name, `,:"`) {
			return unsupported("<disk> %s: the kernel's command line cannot name %q: it has no quotes for a comma, a colon or a quote", disk.Target, name)
		}
	}
	flags := strings.Replace(diskFlags(disk), "c", "", 1)
	if disk.Shareable && !disk.ReadOnly {
		flags = "c" + flags
	}
	word := "ubd" + strconv.Itoa(disk.Unit) + flags + "=" + strings.TrimRight(strings.Join(files, ","), ",")
	if strings.ContainsAny(word, " \t") {
		word = `"` + word + `"`
	}
	s.add(word)
	return nil
}

// share confines hostfs to the one folder that a kernel can be told of.
func (s *shell) share() error {
	list := s.def.Filesystems
	if len(list) > 1 {
		return unsupported("<filesystem> %s: a kernel that a shell starts has one shared folder, there are %d", list[1].Target, len(list))
	}
	folder := emptyShare
	if len(list) == 1 {
		share := list[0]
		folder = filepath.Clean(share.Source)
		if strings.Contains(folder, ",") {
			return unsupported("<filesystem> %s: the kernel's command line cannot name %q: it has a comma", share.Target, folder)
		}
		if share.Target != "/" {
			s.note("the guest mounts " + folder + " by: mount -t hostfs none FOLDER")
		}
		if share.ReadOnly {
			s.note("the guest may write to " + folder + ": a kernel cannot be told that it may not")
		}
	}
	s.add("hostfs=" + folder)
	return nil
}

// channel is a line of the guest that the supervisor would serve.
func (s *shell) channel(line string) error {
	for i, channel := range s.channels {
		if channel.Line == line {
			return s.connect(line, firstDescriptor+i, channel.Chardev)
		}
	}
	return nil
}

func (s *shell) connect(line string, descriptor int, dev domxml.Chardev) error {
	if dev.LogFile != "" {
		s.note(line + " is not written to " + dev.LogFile + ": a kernel keeps no log of its lines")
	}
	number := strconv.Itoa(descriptor)
	switch dev.Type {
	case domxml.ChardevNull:
		s.add(line + "=null")
	case domxml.ChardevFile:
		operator := ">"
		if dev.Append {
			operator = ">>"
		}
		s.add(line + "=null,fd:" + number)
		s.redirects = append(s.redirects, number+operator+Quote(dev.Path))
	case domxml.ChardevDev:
		if strings.ContainsAny(dev.Path, ", \t\"") {
			return unsupported("<%s>: the kernel's command line cannot name %q", line, dev.Path)
		}
		s.add(line + "=tty:" + dev.Path)
	case domxml.ChardevTCP:
		if dev.Host == "0.0.0.0" {
			s.add(line + "=port:" + dev.Service)
			return nil
		}
		s.note(line + " is a pts and does not listen on " + dev.Host + ":" + dev.Service + ": a kernel listens on every address or on none")
		s.terminal(line)
	case domxml.ChardevUnix:
		s.note(line + " is a pts and does not listen on " + dev.Path + ": a kernel cannot")
		s.terminal(line)
	default:
		s.terminal(line)
	}
	return nil
}

// terminal is the shell's own terminal for con0, a new one for other lines.
func (s *shell) terminal(line string) {
	if line == "con0" {
		s.add("con0=fd:0,fd:1")
		return
	}
	s.add(line + "=pts")
}

// interfaces are devices of the kernel alone where it has such a one. As the
// QEMU driver does, those on bridges and networks are taps that somebody has
// set up; the others have a socket, at which somebody serves the guest.
func (s *shell) interfaces() error {
	for _, n := range s.def.Interfaces {
		if n.Type == domxml.InterfaceVHostUser {
			if err := s.virtio(n); err != nil {
				return err
			}
			continue
		}
		device, err := s.device(n)
		if err != nil {
			return err
		}
		name := "vec" + strconv.Itoa(n.Unit)
		word := name + ":" + device + ",depth=128,gro=1,mac=" + n.MAC
		if n.MTU != 0 {
			word += ",mtu=" + strconv.Itoa(n.MTU)
		}
		s.add(word)
	}
	return nil
}

// virtio is an interface behind a vhost-user socket, to which the kernel
// connects; who listens there decides the MAC address.
func (s *shell) virtio(n domxml.Interface) error {
	switch {
	case n.Mode == "server":
		return unsupported("<interface> %s: a kernel that a shell starts connects to a vhost-user socket, it cannot listen; use mode='client'", n.MAC)
	case strings.ContainsAny(n.Source, ": \t\""):
		return unsupported("<interface> %s: the kernel's command line cannot name %q", n.MAC, n.Source)
	}
	s.note(n.Device() + " has the MAC address that " + n.Source + " gives it, not " + n.MAC)
	s.add("virtio_uml.device=" + n.Source + ":" + virtioNet)
	return nil
}

func (s *shell) device(n domxml.Interface) (string, error) {
	name := "vec" + strconv.Itoa(n.Unit)
	tap := n.Target
	if tap == "" {
		tap = "tap" + strconv.Itoa(n.Unit)
	}
	switch n.Type {
	case domxml.InterfaceEthernet:
		return "transport=tap,ifname=" + tap, nil
	case domxml.InterfaceNetwork, domxml.InterfaceBridge:
		s.note(name + " has the tap device " + tap + ", which is to be made and joined to the " + string(n.Type) + " " + n.Source)
		return "transport=tap,ifname=" + tap, nil
	case domxml.InterfaceDirect:
		return "transport=raw,ifname=" + n.Source, nil
	}
	socket := s.options.Socket(n.Unit)
	if strings.ContainsAny(socket, ", =\t\"") {
		return "", unsupported("<interface> %s: the kernel's command line cannot name %q", n.MAC, socket)
	}
	s.note(name + " has the socket " + path.Clean(socket) + ", at which somebody is to serve the guest as type " + string(n.Type) + " does")
	return "transport=bess,dst=" + socket, nil
}

// text is the command for a shell, after the notes.
func (s *shell) text(kernelPath string) string {
	words := []string{Quote(kernelPath)}
	for _, word := range s.words {
		words = append(words, Quote(word))
	}
	words = append(words, s.redirects...)
	lines := append(s.notes, strings.Join(words, " "))
	return strings.Join(lines, "\n") + "\n"
}

// Quote makes a word of text for a shell (POSIX, Shell Command Language, 2.2).
func Quote(text string) string {
	plain := func(r rune) bool {
		return !unsafe(r) || strings.ContainsRune("/:=,+@%", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
