package domxml

import (
	"strconv"

	lx "libvirt.org/go/libvirtxml"
)

// setChardevDefaults numbers the lines and gives each <console> its target
// type. A console of target type serial is libvirt's second view of a serial
// line; without that line it is a console of its own.
func setChardevDefaults(d *lx.DomainDeviceList) {
	serials := make([]**uint, len(d.Serials))
	for i := range d.Serials {
		s := &d.Serials[i]
		if s.Target == nil {
			s.Target = &lx.DomainSerialTarget{}
		}
		if s.Target.Type == "isa-serial" {
			s.Target.Type, s.Target.Model = "", nil
		}
		setProtocol(s.Source, &s.Protocol)
		serials[i] = &s.Target.Port
	}
	numberPorts(serials)
	var consoles []**uint
	for i := range d.Consoles {
		c := &d.Consoles[i]
		if c.Target == nil {
			c.Target = &lx.DomainConsoleTarget{}
		}
		if c.Target.Type == "serial" && len(d.Serials) > 0 {
			shareLine(c, sharedSerial(c, d.Serials))
			continue
		}
		if c.Target.Type == "serial" || c.Target.Type == "" {
			c.Target.Type = "uml"
		}
		setProtocol(c.Source, &c.Protocol)
		consoles = append(consoles, &c.Target.Port)
	}
	numberPorts(consoles)
}

// numberPorts gives every line without a number the lowest free one.
func numberPorts(ports []**uint) {
	taken := map[uint]bool{}
	for _, p := range ports {
		if *p != nil {
			taken[**p] = true
		}
	}
	next := uint(0)
	for _, p := range ports {
		if *p != nil {
			continue
		}
		for taken[next] {
			next++
		}
		port := next
		taken[port] = true
		*p = &port
	}
}

// sharedSerial is the serial line that a console of target type serial shows:
// the one with its number, else the first.
func sharedSerial(c *lx.DomainConsole, serials []lx.DomainSerial) *lx.DomainSerial {
	for i := range serials {
		if c.Target.Port != nil && *serials[i].Target.Port == *c.Target.Port {
			return &serials[i]
		}
	}
	return &serials[0]
}

// shareLine makes c show the line s.
func shareLine(c *lx.DomainConsole, s *lx.DomainSerial) {
	port := *s.Target.Port
	c.Target.Port = &port
	c.Source, c.Protocol, c.Log = s.Source, s.Protocol, s.Log
	c.Alias = s.Alias
}

// setProtocol writes the protocol of a tcp line, as libvirt does.
func setProtocol(source *lx.DomainChardevSource, protocol **lx.DomainChardevProtocol) {
	if source != nil && source.TCP != nil && *protocol == nil {
		*protocol = &lx.DomainChardevProtocol{Type: "raw"}
	}
}

// readChardevs takes the consoles, then the serials.
func readChardevs(d *document, def *Definition) error {
	for i := range d.Devices.Consoles {
		c := &d.Devices.Consoles[i]
		shared := c.Target.Type == "serial"
		if !shared && c.Target.Type != "uml" {
			return unsupported("console %d: target type='%s' is not available, use type='uml'", *c.Target.Port, c.Target.Type)
		}
		line, err := readLine(lineElement{
			serial: shared, port: *c.Target.Port,
			source: c.Source, protocol: c.Protocol, log: c.Log, alias: c.Alias,
		})
		if err != nil {
			return err
		}
		line.Duplicate = shared
		def.Chardevs = append(def.Chardevs, line)
	}
	for i := range d.Devices.Serials {
		s := &d.Devices.Serials[i]
		if s.Target.Type != "" || s.Target.Model != nil {
			return unsupported("serial %d: target type='%s' is not available, leave it out", *s.Target.Port, s.Target.Type)
		}
		line, err := readLine(lineElement{
			serial: true, port: *s.Target.Port,
			source: s.Source, protocol: s.Protocol, log: s.Log, alias: s.Alias,
		})
		if err != nil {
			return err
		}
		def.Chardevs = append(def.Chardevs, line)
	}
	return checkLinesDiffer(def.Chardevs)
}

// lineElement is what <console> and <serial> have in common.
type lineElement struct {
	serial   bool
	port     uint
	source   *lx.DomainChardevSource
	protocol *lx.DomainChardevProtocol
	log      *lx.DomainChardevLog
	alias    *lx.DomainAlias
}

// kind is the element's name.
func (e lineElement) kind() string {
	if e.serial {
		return "serial"
	}
	return "console"
}

func readLine(e lineElement) (Chardev, error) {
	name := e.kind() + strconv.FormatUint(uint64(e.port), 10)
	limit := uint(MaxConsoles)
	if e.serial {
		limit = MaxSerials
	}
	if e.port >= limit {
		return Chardev{}, unsupported("element <devices/%s>: port %d is out of range, User Mode Linux has ports 0 to %d", e.kind(), e.port, limit-1)
	}
	where := e.kind() + " " + strconv.Itoa(int(e.port))
	line := Chardev{Serial: e.serial, Port: int(e.port), Alias: name}
	if e.alias != nil {
		line.Alias = e.alias.Name
	}
	if err := readSource(where, e.source, &line); err != nil {
		return Chardev{}, err
	}
	if p := e.protocol; p != nil && p.Type != "raw" {
		return Chardev{}, unsupported("%s: protocol type='%s' is not available, use type='raw'", where, p.Type)
	}
	if e.log != nil {
		if err := checkPath(where+": <log>", e.log.File); err != nil {
			return Chardev{}, err
		}
		line.LogFile, line.LogAppend = e.log.File, e.log.Append == "on"
	}
	return line, nil
}

// checkLinesDiffer refuses two lines of one number, and two that listen at
// one place.
func checkLinesDiffer(lines []Chardev) error {
	names, places := map[string]bool{}, map[string]string{}
	for _, l := range lines {
		if l.Duplicate {
			continue
		}
		if names[l.Line()] {
			return invalid("element <devices/%s>: port %d is given twice", lineElement{serial: l.Serial}.kind(), l.Port)
		}
		names[l.Line()] = true
		place := listenPlace(l)
		if other, taken := places[place]; taken && place != "" {
			return invalid("%s and %s both listen on %s", other, l.Alias, place)
		}
		places[place] = l.Alias
	}
	return nil
}

// listenPlace is where a line listens, or "".
func listenPlace(l Chardev) string {
	switch l.Type {
	case ChardevTCP:
		return l.Host + ":" + l.Service
	case ChardevUnix:
		return l.Path
	}
	return ""
}
