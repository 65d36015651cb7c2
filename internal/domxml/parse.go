package domxml

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// maxName is the longest name in bytes whose NAME.xml, and the temporary file
// that replaces it, still fit into a file name (NAME_MAX, 255).
const maxName = 240

// Parse reads a <domain type='uml'> document: a new definition or the live
// document of a running guest, of which only the configuration is taken. It
// sets libvirt's defaults, makes up a missing uuid and missing MAC addresses,
// and refuses, with libvirt's codes and naming the element, what is malformed
// (ErrXMLDetail, ErrXMLError), incomplete or impossible for every kernel
// (ErrConfigUnsupported). What depends on the host is not looked at.
func Parse(doc []byte) (*Definition, error) {
	d, err := decode(doc)
	if err != nil {
		return nil, err
	}
	return build(d)
}

// ParseLive reads the live document of a running guest together with what only
// a running guest has: the generated names and the ports of its interfaces.
func ParseLive(doc []byte) (*Definition, error) {
	d, err := decode(doc)
	if err != nil {
		return nil, err
	}
	live := interfaceLives(d)
	def, err := build(d)
	if err != nil {
		return nil, err
	}
	for i := range def.Interfaces {
		live[i].onto(&def.Interfaces[i])
	}
	return def, nil
}

// build completes and checks d and makes the Definition of it.
func build(d *document) (*Definition, error) {
	if err := checkHead(d); err != nil {
		return nil, err
	}
	if err := setDefaults(d); err != nil {
		return nil, err
	}
	if err := checkSupport(d); err != nil {
		return nil, err
	}
	def := &Definition{Name: d.Name, Title: d.Title, Description: d.Description}
	readers := []func(*document, *Definition) error{
		readUUID, readMemory, readVCPUs, readOS, readActions,
		readDisks, readChardevs, readFilesystems, readInterfaces, readLinks,
	}
	for _, read := range readers {
		if err := read(d, def); err != nil {
			return nil, err
		}
	}
	text, err := marshal(d)
	if err != nil {
		return nil, err
	}
	if len(text) > maxDocument {
		return nil, invalid("the definition is %d bytes long when written out, at most %d are allowed", len(text), maxDocument)
	}
	def.text, def.public = text, text
	if hideSecrets(d) {
		if def.public, err = marshal(d); err != nil {
			return nil, err
		}
	}
	return def, nil
}

// marshal writes d as libvirt does.
func marshal(d *document) (string, error) {
	metadata := ""
	if d.Metadata != nil {
		metadata = d.Metadata.Inner
	}
	text, err := virxml.Marshal(d, metadata)
	if err != nil {
		return "", virerr.In(virerr.UML, libvirt.ErrInternalError, "domain '%s': %w", d.Name, err)
	}
	return text, nil
}

// checkHead refuses documents that are not for this driver, and names that no
// file can have.
func checkHead(d *document) error {
	switch {
	case d.Type == "":
		return virerr.New(libvirt.ErrInternalError, "missing domain type attribute")
	case !domainTypes[d.Type]:
		return virerr.New(libvirt.ErrConfigUnsupported, "invalid domain type %s", d.Type)
	case d.Type != "uml":
		return unsupported("unexpected domain type %s, expecting uml", d.Type)
	}
	if err := checkName(d.Name); err != nil {
		return err
	}
	if strings.Contains(d.Title, "\n") {
		return invalid("Domain title can't contain newlines")
	}
	if d.OS == nil || d.OS.Type == nil || d.OS.Type.Type == "" {
		return invalid("an os <type> must be specified")
	}
	if d.Memory == nil || d.Memory.Value == 0 {
		return invalid("Memory size must be specified via <memory>")
	}
	return nil
}

// domainTypes are libvirt's values of <domain type> (src/conf/domain_conf.c,
// virDomainVirt).
var domainTypes = map[string]bool{
	"qemu": true, "kqemu": true, "kvm": true, "xen": true, "lxc": true, "uml": true,
	"openvz": true, "test": true, "vmware": true, "hyperv": true, "vbox": true,
	"phyp": true, "parallels": true, "bhyve": true, "vz": true, "hvf": true,
}

// checkName refuses names that cannot be a file's, as NAME.xml is one.
func checkName(name string) error {
	switch {
	case name == "":
		return virerr.New(libvirt.ErrNoName, "")
	case strings.Contains(name, "/"):
		return invalid("name %s cannot contain '/'", name)
	case strings.ContainsAny(name, "\n\x00"):
		return virerr.In(virerr.XML, libvirt.ErrXMLDetail, "invalid char in name: %q", name)
	case len(name) > maxName:
		return invalid("name %s... is %d bytes long, at most %d are allowed", strings.ToValidUTF8(name[:32], ""), len(name), maxName)
	}
	return nil
}
