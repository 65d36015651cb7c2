package native

import (
	"slices"
	"strconv"
	"strings"

	lx "libvirt.org/go/libvirtxml"
)

// consoles makes the lines of the guest. Without a word of its own con0 is the
// terminal from which the kernel was started.
func (b *builder) consoles() error {
	if _, given := b.lines["con0"]; !given {
		b.lines["con0"] = "fd:0,fd:1"
		if all, given := b.lines["con"]; given {
			b.lines["con0"] = all
		}
	}
	// "con=" and "ssl=" are for every line that the guest may open: here it
	// has those alone that are given by their numbers.
	delete(b.lines, "con")
	delete(b.lines, "ssl")
	for _, name := range b.sortedLines() {
		if err := b.line(name, b.lines[name]); err != nil {
			return err
		}
	}
	b.kernelConsoles()
	return nil
}

// sortedLines are the names of the lines by kind and number.
func (b *builder) sortedLines() []string {
	var names []string
	for name := range b.lines {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names
}

// line adds one <console> or <serial>.
func (b *builder) line(name, channel string) error {
	port, err := strconv.ParseUint(name[len("con"):], 10, 8)
	if err != nil {
		return invalid("the word '%s=%s' has no number of a line", name, channel)
	}
	number := uint(port)
	source, err := b.source(name, channel)
	if err != nil {
		return err
	}
	if source.Null != nil && name != "con0" {
		return nil // a line that nobody reads is as good as none
	}
	d := b.doc.Devices
	if strings.HasPrefix(name, "ssl") {
		d.Serials = append(d.Serials, lx.DomainSerial{Source: source, Target: &lx.DomainSerialTarget{Port: &number}})
		return nil
	}
	d.Consoles = append(d.Consoles, lx.DomainConsole{Source: source, Target: &lx.DomainConsoleTarget{Type: "uml", Port: &number}})
	return nil
}

// source is a channel (arch/um/drivers/chan_kern.c), or a pair of them for
// input and output, of which the output counts.
func (b *builder) source(name, channel string) (*lx.DomainChardevSource, error) {
	in, out, pair := strings.Cut(channel, ",")
	if !pair {
		out = in
	}
	kind, argument, _ := strings.Cut(out, ":")
	switch kind {
	case "null", "none":
		return &lx.DomainChardevSource{Null: &lx.DomainChardevSourceNull{}}, nil
	case "pts", "pty", "xterm":
		return &lx.DomainChardevSource{Pty: &lx.DomainChardevSourcePty{}}, nil
	case "fd":
		return b.descriptor(name, out, argument)
	case "tty":
		device, err := b.path("the word '"+name+"="+channel+"'", argument)
		if err != nil {
			return nil, err
		}
		return &lx.DomainChardevSource{Dev: &lx.DomainChardevSourceDev{Path: device}}, nil
	case "port":
		// The kernel listens on every address.
		return &lx.DomainChardevSource{TCP: &lx.DomainChardevSourceTCP{Mode: "bind", Host: "0.0.0.0", Service: argument}}, nil
	}
	return nil, unsupported("the word '%s=%s': there is no channel '%s', use null, pts, tty:, port: or fd:", name, channel, kind)
}

// descriptor is fd:N: the file that the script has opened there, or a terminal.
func (b *builder) descriptor(name, channel, argument string) (*lx.DomainChardevSource, error) {
	n, err := strconv.ParseUint(argument, 10, 16)
	if err != nil {
		return nil, invalid("the word '%s=%s' has no number of a descriptor", name, channel)
	}
	opened, redirected := b.command.files[int(n)]
	switch {
	case !redirected:
		return &lx.DomainChardevSource{Pty: &lx.DomainChardevSourcePty{}}, nil
	case opened.path == "/dev/null":
		return &lx.DomainChardevSource{Null: &lx.DomainChardevSourceNull{}}, nil
	}
	file, err := b.path("the redirection of descriptor "+argument, opened.path)
	if err != nil {
		return nil, err
	}
	source := &lx.DomainChardevSourceFile{Path: file}
	if opened.append {
		source.Append = "on"
	}
	return &lx.DomainChardevSource{File: source}, nil
}

// kernelConsoles leaves out the console= words that virtumld adds by itself: of
// con0 always, of the first serial line when no console is there. With the
// latter word, a con0 that is null is no console.
func (b *builder) kernelConsoles() {
	b.drop("console=tty0")
	d := b.doc.Devices
	if len(d.Serials) == 0 || len(d.Consoles) != 1 || d.Consoles[0].Source.Null == nil {
		return
	}
	word := "console=ttyS" + strconv.FormatUint(uint64(*d.Serials[0].Target.Port), 10)
	if slices.Contains(b.kept, word) {
		b.drop(word)
		d.Consoles = nil
	}
}
