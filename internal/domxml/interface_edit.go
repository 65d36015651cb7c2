package domxml

import (
	"bytes"
	"net"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// Device is one device's document, as clients attach, detach and change it.
type Device struct {
	// Kind is the element's name, such as "interface".
	Kind string

	element lx.DomainInterface
	fields  Interface
	hasMAC  bool

	disk diskDevice
}

// ParseDevice reads one device's document. Of an <interface> all but its unit
// is complete then: attached to two sides of a domain it is one device. Of a
// <disk> the target is known. Other devices are told by their Kind and not
// looked into.
func ParseDevice(doc []byte) (*Device, error) {
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	if err := checkBytes(doc); err != nil {
		return nil, err
	}
	dec := newDecoder(bytes.NewReader(doc))
	start, err := rootElement(dec, "")
	if err != nil {
		return nil, err
	}
	dev := &Device{Kind: start.Name.Local}
	decode := func(element any) error {
		if err := dec.DecodeElement(element, &start); err != nil {
			return decodeError(doc[:dec.InputOffset()], err)
		}
		return checkEpilog(dec)
	}
	switch dev.Kind {
	case "interface":
		if err := decode(&dev.element); err != nil {
			return nil, err
		}
		return dev, dev.complete()
	case "disk":
		return dev, dev.readDisk(decode)
	}
	return dev, nil
}

// complete fills in and checks the interface.
func (dev *Device) complete() (err error) {
	n := &dev.element
	n.XMLName.Space = ""
	dev.hasMAC = n.MAC != nil && n.MAC.Address != ""
	// An alias that is not the user's own tells the device all the same.
	alias := ""
	if n.Alias != nil {
		alias = n.Alias.Name
	}
	dropInterfaceLive(n)
	setDeviceDefaults(n)
	if dev.fields, err = readInterface(n); err != nil {
		return err
	}
	dev.fields.Alias = alias
	return nil
}

// Interface finds an interface as libvirt's API names one: by its MAC address
// or by its target. The error is libvirt's ErrInvalidArg.
func (d *Definition) Interface(name string) (Interface, error) {
	mac, err := net.ParseMAC(name)
	isMAC := err == nil && len(mac) == 6
	for _, n := range d.Interfaces {
		if isMAC && n.MAC == mac.String() || !isMAC && name != "" && n.Target == name {
			return n, nil
		}
	}
	return Interface{}, invalidArgument("'%s' is not a known interface", name)
}

// Match finds the interface of d that the device means
// (src/conf/domain_conf.c, virDomainNetFindIdx): by MAC address, guest device
// and alias, as far as its document has them. The errors are
// ErrDeviceMissing and, when several match, ErrOperationFailed.
func (d *Definition) Match(dev *Device) (Interface, error) {
	i, err := d.match(dev)
	if err != nil {
		return Interface{}, err
	}
	return d.Interfaces[i], nil
}

func (d *Definition) match(dev *Device) (int, error) {
	mac, unit, alias := "(<null>)", "(<null>)", "(<null>)"
	if dev.hasMAC {
		mac = dev.fields.MAC
	}
	if dev.element.Guest != nil && dev.element.Guest.Dev != "" {
		unit = dev.element.Guest.Dev
	}
	if dev.fields.Alias != "" {
		alias = dev.fields.Alias
	}
	found := -1
	for i, n := range d.Interfaces {
		if dev.hasMAC && n.MAC != dev.fields.MAC || unit != "(<null>)" && n.Device() != unit ||
			dev.fields.Alias != "" && n.Alias != dev.fields.Alias {
			continue
		}
		if found >= 0 {
			return 0, virerr.New(libvirt.ErrOperationFailed, "multiple matching devices found")
		}
		found = i
	}
	if found < 0 {
		return 0, virerr.New(libvirt.ErrDeviceMissing,
			"no device found at address '%s' matching MAC address '%s' and alias '%s'", unit, mac, alias)
	}
	return found, nil
}

// ByAlias finds the interface of that alias; the error is ErrDeviceMissing.
func (d *Definition) ByAlias(alias string) (Interface, error) {
	for _, n := range d.Interfaces {
		if n.Alias == alias {
			return n, nil
		}
	}
	return Interface{}, virerr.New(libvirt.ErrDeviceMissing, "no device found with alias '%s'", alias)
}

// WithDevice returns d with the interface added as its last.
func (d *Definition) WithDevice(dev *Device) (*Definition, error) {
	return d.edit(func(doc *document) error {
		doc.Devices.Interfaces = append(doc.Devices.Interfaces, dev.element)
		return nil
	})
}

// WithoutInterface returns d without the interface of that alias.
func (d *Definition) WithoutInterface(alias string) (*Definition, error) {
	return d.editInterface(alias, func(list []lx.DomainInterface, i int) ([]lx.DomainInterface, error) {
		return slices.Delete(list, i, i+1), nil
	})
}

// WithUpdate returns d with the interface that dev means changed to dev. Its
// MAC address, guest device and alias stay.
func (d *Definition) WithUpdate(dev *Device) (*Definition, error) {
	was, err := d.Match(dev)
	if err != nil {
		return nil, err
	}
	return d.editInterface(was.Alias, func(list []lx.DomainInterface, i int) ([]lx.DomainInterface, error) {
		next := dev.element
		next.MAC, next.Guest, next.Alias = list[i].MAC, list[i].Guest, list[i].Alias
		if next.Target == nil {
			next.Target = list[i].Target
		}
		list[i] = next
		return list, nil
	})
}

// WithBandwidth returns d with the limits of the interface of that alias
// changed; nil leaves one as it is, and a zero one takes it away.
func (d *Definition) WithBandwidth(alias string, inbound, outbound *Bandwidth) (*Definition, error) {
	return d.editInterface(alias, func(list []lx.DomainInterface, i int) ([]lx.DomainInterface, error) {
		b := &lx.DomainInterfaceBandwidth{}
		if list[i].Bandwidth != nil {
			*b = *list[i].Bandwidth
		}
		if inbound != nil {
			b.Inbound = inbound.element()
		}
		if outbound != nil {
			b.Outbound = outbound.element()
		}
		list[i].Bandwidth = b
		if b.Inbound == nil && b.Outbound == nil {
			list[i].Bandwidth = nil
		}
		return list, nil
	})
}

func (b Bandwidth) element() *lx.DomainInterfaceBandwidthParams {
	if b.Average == 0 && b.Floor == 0 {
		return nil
	}
	value := func(v uint32) *int {
		if v == 0 {
			return nil
		}
		n := int(v)
		return &n
	}
	return &lx.DomainInterfaceBandwidthParams{
		Average: value(b.Average), Peak: value(b.Peak), Burst: value(b.Burst), Floor: value(b.Floor),
	}
}

// editInterface is edit for the list of interfaces, with the index of the one
// of that alias. d and its own document have them in the same order.
func (d *Definition) editInterface(alias string, change func([]lx.DomainInterface, int) ([]lx.DomainInterface, error)) (*Definition, error) {
	i := slices.IndexFunc(d.Interfaces, func(n Interface) bool { return n.Alias == alias })
	if i < 0 {
		return nil, virerr.New(libvirt.ErrDeviceMissing, "no device found with alias '%s'", alias)
	}
	return d.edit(func(doc *document) (err error) {
		doc.Devices.Interfaces, err = change(doc.Devices.Interfaces, i)
		return err
	})
}

// MAC is the interface's address, made up when its document has none.
func (dev *Device) MAC() string { return dev.fields.MAC }
