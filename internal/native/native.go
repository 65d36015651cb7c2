// Package native reads libvirt's native format "uml-argv": the command line by
// which somebody starts a UML kernel, as it stands in a script of theirs. It
// makes a <domain type='uml'> document of it. It is pure: it runs nothing,
// expands nothing but the script's own variables, opens no file and knows no
// running guest. The way back is package cmdline's Shell.
//
// The kernel's words are those of arch/um (drivers/ubd_kern.c, chan_kern.c,
// net_kern.c, vector_user.c; kernel/um_arch.c).
package native

import (
	"encoding/xml"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// Format is the native format's name.
const Format = "uml-argv"

// document is the part of a <domain> that a command line can tell.
type document struct {
	XMLName  xml.Name             `xml:"domain"`
	Type     string               `xml:"type,attr"`
	Name     string               `xml:"name"`
	Memory   *lx.DomainMemory     `xml:"memory"`
	VCPU     *lx.DomainVCPU       `xml:"vcpu"`
	OS       system               `xml:"os"`
	OnReboot string               `xml:"on_reboot"`
	Devices  *lx.DomainDeviceList `xml:"devices"`
}

// system is <os>.
type system struct {
	Type    lx.DomainOSType `xml:"type"`
	Kernel  string          `xml:"kernel,omitempty"`
	Initrd  string          `xml:"initrd,omitempty"`
	Cmdline string          `xml:"cmdline,omitempty"`
	Root    string          `xml:"root,omitempty"`
}

// XML returns the inactive <domain> document of a command line. Its errors are
// virerr's: ErrXMLError for what is no command line of a UML kernel,
// ErrConfigUnsupported for what a domain cannot have. Both name the word.
//
// What the command line leaves open is what libvirt makes up (uuid, MAC
// addresses) or the kernel's own default; the name is then "uml".
func XML(script string) (string, error) {
	command, err := readScript(script)
	if err != nil {
		return "", err
	}
	b := newBuilder(command)
	for _, step := range []func() error{b.program, b.readWords, b.finish} {
		if err := step(); err != nil {
			return "", err
		}
	}
	text, err := virxml.Marshal(&b.doc, "")
	if err != nil {
		return "", err
	}
	definition, err := domxml.Parse([]byte(text))
	if err != nil {
		return "", err
	}
	return definition.XML(true), nil
}

// wrappers are programs that start the one which is named after them.
var wrappers = map[string]bool{"exec": true, "nohup": true, "setsid": true, "sudo": true, "env": true, "command": true, "time": true}

// program takes the kernel, whatever starts it and its environment apart. A
// kernel that is looked for in $PATH is the host's default one.
func (b *builder) program() error {
	for len(b.words) > 0 && isWrapper(b.words[0]) {
		b.words = b.words[1:]
	}
	if len(b.words) == 0 {
		return invalid("the command line names no kernel")
	}
	name := b.words[0]
	b.words = b.words[1:]
	if strings.HasPrefix(name, "-") {
		return invalid("the word '%s' stands before the kernel, leave it out", name)
	}
	if !strings.Contains(name, "/") {
		if !strings.HasPrefix(name, "linux") {
			return invalid("the command '%s' is no UML kernel, name the kernel by its whole path", name)
		}
		return nil
	}
	var err error
	b.doc.OS.Kernel, err = b.path("the kernel", name)
	return err
}

// isWrapper also takes the environment that env is given.
func isWrapper(word string) bool {
	name, _, assigned := strings.Cut(word, "=")
	return wrappers[word] || assigned && !strings.Contains(name, "/")
}

func invalid(format string, args ...any) error {
	return virerr.In(virerr.UML, libvirt.ErrXMLError, format, args...)
}

func unsupported(format string, args ...any) error {
	return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported, format, args...)
}
