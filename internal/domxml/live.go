package domxml

import (
	lx "libvirt.org/go/libvirtxml"
)

// Live is what a running guest adds to its document.
type Live struct {
	ID int32
	// PTYs maps a line ("con0", "ssl3") to the pty that serves it.
	PTYs map[string]string
	// Kernel is the kernel in use when the definition names none.
	Kernel string
}

// XML returns the inactive document, which Parse reads back to an equal
// Definition. Passwords are in it only when secure is set.
func (d *Definition) XML(secure bool) string {
	if secure {
		return d.text
	}
	return d.public
}

// LiveXML returns the document of the running guest, as libvirt shows one: the
// inactive document with the id, the aliases of the devices and the ptys.
func (d *Definition) LiveXML(live Live, secure bool) (string, error) {
	doc, err := decode([]byte(d.XML(secure)))
	if err != nil {
		return "", err
	}
	doc.ID = &live.ID
	if doc.OS.Kernel == "" {
		doc.OS.Kernel = live.Kernel
	}
	d.addAliases(doc.Devices)
	d.addPTYs(doc.Devices, live.PTYs)
	return marshal(doc)
}

// addAliases names the devices that the guest has. The lists of d and of its
// own document have the same order.
func (d *Definition) addAliases(devices *lx.DomainDeviceList) {
	for i, disk := range d.Disks {
		devices.Disks[i].Alias = &lx.DomainAlias{Name: disk.Alias}
	}
	for i, share := range d.Filesystems {
		devices.Filesystems[i].Alias = &lx.DomainAlias{Name: share.Alias}
	}
	for i, n := range d.Interfaces {
		showInterface(&devices.Interfaces[i], n)
	}
}

// showInterface adds to an interface what only a running guest's has.
func showInterface(element *lx.DomainInterface, n Interface) {
	element.Alias = &lx.DomainAlias{Name: n.Alias}
	if n.Target != "" {
		if element.Target == nil {
			element.Target = &lx.DomainInterfaceTarget{}
		}
		element.Target.Dev = n.Target
	}
	if s := element.Source.Network; s != nil {
		s.PortID, s.Bridge = n.PortID, n.Bridge
	}
}

// addPTYs names the lines and shows the ptys that serve them; a console has
// its pty in the tty attribute too, which old clients read.
func (d *Definition) addPTYs(devices *lx.DomainDeviceList, ptys map[string]string) {
	for i, line := range d.Chardevs {
		alias, pty := &lx.DomainAlias{Name: line.Alias}, ptys[line.Line()]
		if i >= len(devices.Consoles) {
			s := &devices.Serials[i-len(devices.Consoles)]
			s.Alias = alias
			showPTY(s.Source, pty)
			continue
		}
		c := &devices.Consoles[i]
		c.Alias = alias
		if showPTY(c.Source, pty) {
			c.TTY = pty
		}
	}
}

func showPTY(source *lx.DomainChardevSource, pty string) bool {
	if source.Pty == nil || pty == "" {
		return false
	}
	source.Pty.Path = pty
	return true
}

// hideSecrets removes what only a secure document shows and reports whether
// there was any.
func hideSecrets(d *document) bool {
	hidden := false
	for i := range d.Devices.Graphics {
		g := &d.Devices.Graphics[i]
		for _, secret := range []*string{vncPassword(g.VNC), spicePassword(g.Spice)} {
			if secret != nil && *secret != "" {
				*secret, hidden = "", true
			}
		}
	}
	return hidden
}

func vncPassword(g *lx.DomainGraphicVNC) *string {
	if g == nil {
		return nil
	}
	return &g.Passwd
}

func spicePassword(g *lx.DomainGraphicSpice) *string {
	if g == nil {
		return nil
	}
	return &g.Passwd
}
