package cmdline

import (
	"slices"
	"strings"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
)

// boot is the initial ramdisk and the root filesystem: <root>, else the
// ramdisk alone, else a hostfs root, else the disk of the lowest unit.
func (b *builder) boot() error {
	if b.def.OS.Initrd != "" {
		if !b.caps.Initrd {
			return unsupported("<initrd>: the kernel %s takes none (CONFIG_BLK_DEV_INITRD)", b.caps.Path)
		}
		b.arg("initrd=", supervisor.Root, initrdPath)
		b.line.Files = append(b.line.Files, supervisor.File{Host: b.def.OS.Initrd, Guest: initrdPath, ReadOnly: true, Own: true})
	}
	switch root, ok := b.hostfsRoot(); {
	case b.def.OS.Root != "":
		return b.namedRoot(b.def.OS.Root)
	case b.def.OS.Initrd != "":
		return nil // its init knows
	case ok:
		b.arg("root=/dev/root")
		b.arg("rootfstype=hostfs")
		b.arg("rootflags=", rootShare)
		b.arg(mode(root.ReadOnly))
		return nil
	case len(b.def.Disks) > 0:
		disk := slices.MinFunc(b.def.Disks, func(a, b domxml.Disk) int { return a.Unit - b.Unit })
		b.arg("root=", device(disk))
		b.arg(mode(disk.ReadOnly))
		return nil
	default:
		return unsupported("<devices>: there is nothing to boot from; give a <disk>, a <filesystem> with the target /, or an <initrd> in <os>")
	}
}

func (b *builder) hostfsRoot() (domxml.Filesystem, bool) {
	for _, fs := range b.def.Filesystems {
		if fs.Target == "/" {
			return fs, true
		}
	}
	return domxml.Filesystem{}, false
}

// namedRoot is <root> as it stands. UML's own images expect to be mounted
// read-write, unless they are on a read-only disk.
func (b *builder) namedRoot(root string) error {
	if strings.ContainsAny(root, " \t\n\"") {
		return unsupported("<root>: %q holds a space or a quote", root)
	}
	b.arg("root=", root)
	for _, disk := range b.def.Disks {
		if strings.HasPrefix(root, device(disk)) {
			b.arg(mode(disk.ReadOnly))
			return nil
		}
	}
	b.arg(mode(false))
	return nil
}

// device is the disk's name in the guest.
func device(disk domxml.Disk) string { return "/dev/ubd" + string(rune('a'+disk.Unit)) }

func mode(readOnly bool) string {
	if readOnly {
		return "ro"
	}
	return "rw"
}

// owned are the beginnings of words that the definition's elements decide,
// with what to use instead. A word of the user's would come after ours and
// win: it could lift the guest's confinement or lose its console.
var owned = []struct{ word, instead string }{
	{"mem=", "<memory>"},
	{"umid=", "<name>"},
	{"uml_dir=", "the daemon's configuration"},
	{"mconsole=", "nothing: virtumld uses it"},
	{"hostfs=", "<filesystem>"},
	{"initrd=", "<initrd>"},
	{"ncpus=", "<vcpu>"},
	{"ubd", "<disk>"},
	{"--help", "nothing: the kernel would end"},
	{"--version", "nothing: the kernel would end"},
	{"--showconfig", "nothing: the kernel would end"},
}

// userWords appends <cmdline> last, so that its words win where they may.
func (b *builder) userWords() error {
	words, ok := split(b.def.OS.Cmdline)
	if !ok {
		return unsupported("<cmdline>: a quote in %q is not closed", b.def.OS.Cmdline)
	}
	for _, word := range words {
		bare := strings.TrimPrefix(word, `"`)
		if instead, taken := reserved(bare); taken {
			return unsupported("<cmdline>: %q is decided elsewhere; use %s", word, instead)
		}
		b.arg(word)
	}
	return nil
}

func reserved(word string) (instead string, taken bool) {
	for _, o := range owned {
		if strings.HasPrefix(word, o.word) {
			return o.instead, true
		}
	}
	if isLine(word, "con") {
		return "<console>", true
	}
	if isLine(word, "ssl") {
		return "<serial>", true
	}
	if isNumbered(word, "vec", ":") {
		return "<interface>", true
	}
	return "", false
}

// isLine tells conN= and con= from words such as console=.
func isLine(word, prefix string) bool { return isNumbered(word, prefix, "=") }

// isNumbered reports whether word is prefix, a number or none, and mark.
func isNumbered(word, prefix, mark string) bool {
	rest, ok := strings.CutPrefix(word, prefix)
	if !ok {
		return false
	}
	return strings.HasPrefix(strings.TrimLeft(rest, "0123456789"), mark)
}

// split divides a command line where the kernel does (lib/cmdline.c,
// next_arg): at white space outside double quotes, which stay in the word.
func split(line string) (words []string, ok bool) {
	var word strings.Builder
	quoted := false
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, c := range []byte(line) {
		switch {
		case c == '"':
			quoted = !quoted
			word.WriteByte(c)
		case !quoted && strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			flush()
		default:
			word.WriteByte(c)
		}
	}
	flush()
	return words, !quoted
}
