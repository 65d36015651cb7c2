package native

import (
	"math/bits"
	"path"
	"slices"
	"strconv"
	"strings"

	lx "libvirt.org/go/libvirtxml"
)

// defaultMemory is what a kernel has without mem=, in KiB
// (arch/um/kernel/um_arch.c, physmem_size).
const defaultMemory = 64 << 10

// Empty is the folder to which hostfs is confined in a command line of a guest
// without shares (hier(7) of BSD). It stands for none.
const Empty = "/var/empty"

// builder makes the document word by word.
type builder struct {
	command *command
	words   []string // those still to be read
	doc     document

	lines  map[string]string // "con0" or "con" to its channel
	kept   []string          // for <cmdline>
	root   string            // root=
	mode   string            // ro or rw, the last one given
	hostfs string            // hostfs=, "" for none
	// rootHostfs is rootfstype=hostfs, rootFolder its rootflags=.
	rootHostfs bool
	rootFolder string
}

func newBuilder(c *command) *builder {
	b := &builder{command: c, words: c.words, lines: map[string]string{}}
	b.doc = document{
		Type: "uml", Name: "uml", OnReboot: "restart",
		Memory: &lx.DomainMemory{Value: defaultMemory, Unit: "KiB"},
		VCPU:   &lx.DomainVCPU{Value: 1},
		OS:     system{Type: lx.DomainOSType{Type: "uml"}},
		// A list that is nil would be no element.
		Devices: &lx.DomainDeviceList{},
	}
	return b
}

// simple are the words NAME=VALUE of which each sets one thing. The empty ones
// are decided by virtumld for every guest.
var simple = map[string]func(b *builder, value string) error{
	"mem":      (*builder).memory,
	"umid":     func(b *builder, v string) error { b.doc.Name = v; return nil },
	"root":     func(b *builder, v string) error { b.root = v; return nil },
	"ncpus":    (*builder).processors,
	"initrd":   func(b *builder, v string) (err error) { b.doc.OS.Initrd, err = b.path("initrd=", v); return err },
	"hostfs":   (*builder).share,
	"uml_dir":  func(*builder, string) error { return nil },
	"mconsole": func(*builder, string) error { return nil },
}

func (b *builder) readWords() error {
	for _, word := range b.words {
		if err := b.word(word); err != nil {
			return err
		}
	}
	return nil
}

// word takes one argument of the kernel. What no element of a document stands
// for is kept for <cmdline>.
func (b *builder) word(word string) error {
	word = unquote(word)
	name, value, assigned := strings.Cut(word, "=")
	if set := simple[name]; set != nil && assigned {
		return set(b, value)
	}
	switch {
	case word == "--help" || word == "--version" || word == "--showconfig":
		return unsupported("the word '%s': a kernel that is given it ends at once", word)
	case word == "noreboot":
		b.doc.OnReboot = "destroy"
	case word == "ro" || word == "rw":
		b.mode = word
	case assigned && isNumbered(name, "con"), assigned && isNumbered(name, "ssl"):
		b.lines[name] = value
	case isDisk(name) && assigned:
		return b.disk(word, strings.TrimPrefix(name, "ubd"), value)
	case isInterface(word, "vec", ":"):
		return b.vector(word)
	case isInterface(word, "eth", "="):
		return b.ethernet(word)
	case name == "virtio_uml.device" && assigned:
		return b.virtio(word, value)
	case word == "rootfstype=hostfs":
		b.rootHostfs = true
	case name == "rootflags" && assigned:
		b.rootFolder = value
	case word == "":
	default:
		b.kept = append(b.kept, word)
	}
	return nil
}

// unquote takes the kernel's own quotes off a word that they are all around.
func unquote(word string) string {
	inner, ok := strings.CutPrefix(word, `"`)
	if !ok || !strings.HasSuffix(inner, `"`) || strings.Count(inner, `"`) != 1 || !isDisk(inner) {
		return word
	}
	return strings.TrimSuffix(inner, `"`)
}

// isNumbered tells con, con0, con1 … from console.
func isNumbered(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && strings.Trim(rest, "0123456789") == ""
}

func isDisk(word string) bool { return strings.HasPrefix(word, "ubd") }

func isInterface(word, prefix, mark string) bool {
	name, _, found := strings.Cut(word, mark)
	return found && name != prefix && isNumbered(name, prefix)
}

// path makes a path of the script absolute.
func (b *builder) path(where, name string) (string, error) {
	switch {
	case path.IsAbs(name):
		return name, nil
	case name == "":
		return "", invalid("%s: there is no path", where)
	case !path.IsAbs(b.command.dir):
		return "", invalid("%s: the path '%s' is not absolute; write it whole, or begin the script with 'cd FOLDER'", where, name)
	}
	return path.Join(b.command.dir, name), nil
}

// memory is mem=N with the kernel's suffixes (lib/cmdline.c, memparse), else in
// bytes.
func (b *builder) memory(value string) error {
	digits := strings.TrimRight(value, "kKmMgGtT")
	shift := map[string]int{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
	by, known := shift[strings.ToLower(value[len(digits):])]
	n, err := strconv.ParseUint(digits, 0, 64)
	if err != nil || !known || n == 0 || bits.LeadingZeros64(n) < by {
		return invalid("the word 'mem=%s' is no size", value)
	}
	b.doc.Memory.Value = uint((n << by) >> 10)
	return nil
}

func (b *builder) processors(value string) error {
	n, err := strconv.ParseUint(value, 0, 16)
	if err != nil || n == 0 {
		return invalid("the word 'ncpus=%s' is no number of processors", value)
	}
	b.doc.VCPU.Value = uint(n)
	return nil
}

// share is hostfs=FOLDER[,append]: the folder to which the guest is confined.
func (b *builder) share(value string) error {
	folder, _, _ := strings.Cut(value, ",")
	if folder == "" {
		return nil
	}
	var err error
	b.hostfs, err = b.path("hostfs=", folder)
	return err
}

// finish does what takes all words to decide.
func (b *builder) finish() error {
	for _, step := range []func() error{b.shares, b.implicitDisk, b.rootDevice, b.consoles} {
		if err := step(); err != nil {
			return err
		}
	}
	if b.doc.VCPU.Value > 1 {
		b.drop("seccomp=on")
	}
	b.doc.OS.Cmdline = strings.Join(b.kept, " ")
	return nil
}

func (b *builder) drop(word string) {
	b.kept = slices.DeleteFunc(b.kept, func(w string) bool { return w == word })
}

// shares gives the guest its folder of the host: as its root, or to be mounted.
func (b *builder) shares() error {
	if b.rootHostfs {
		folder := path.Join("/", b.hostfs, b.rootFolder)
		b.addShare(folder, "/")
		b.root = ""
		return nil
	}
	if b.rootFolder != "" {
		b.kept = append(b.kept, "rootflags="+b.rootFolder)
	}
	switch b.hostfs {
	case "", Empty:
		return nil
	case "/":
		return unsupported("hostfs=/: a guest that can mount the host's root folder cannot be had, name the folder that it needs")
	}
	b.addShare(b.hostfs, path.Base(b.hostfs))
	return nil
}

func (b *builder) addShare(folder, target string) {
	b.doc.Devices.Filesystems = append(b.doc.Devices.Filesystems, lx.DomainFilesystem{
		Source: &lx.DomainFilesystemSource{Mount: &lx.DomainFilesystemSourceMount{Dir: folder}},
		Target: &lx.DomainFilesystemTarget{Dir: target},
	})
}

// rootDevice leaves out what virtumld decides by itself: the root device of
// the lowest unit, and whether it is writable.
func (b *builder) rootDevice() error {
	disk, found := b.lowest()
	booted := b.root != "" || b.doc.OS.Initrd == "" || b.rootHostfs
	if found && !b.rootHostfs && b.doc.OS.Initrd == "" && slices.Contains(disk.names(), b.root) {
		b.root = ""
	}
	b.doc.OS.Root = b.root
	own := "rw"
	if b.readOnlyRoot() {
		own = "ro"
	}
	if b.mode != "" && (b.mode != own || !booted) {
		b.kept = append(b.kept, b.mode)
	}
	return nil
}
