package networkxml

import (
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// wrong checks an error's code and that its text holds part.
func wrong(t *testing.T, err error, code libvirt.ErrorNumber, part string) {
	t.Helper()
	if !virerr.Is(err, code) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want code %d and %q", err, code, part)
	}
}

// document puts content into a network called n.
func document(content string) string { return "<network><name>n</name>" + content + "</network>" }

const ipv4 = "<ip address='10.0.0.1' netmask='255.255.255.0'>"

func TestParseRefuses(t *testing.T) {
	dhcp := func(content string) string { return ipv4 + "<dhcp>" + content + "</dhcp></ip>" }
	ipv6 := func(content string) string {
		return "<ip family='ipv6' address='fd00::1' prefix='64'><dhcp>" + content + "</dhcp></ip>"
	}
	for _, test := range []struct {
		name, content string
		code          libvirt.ErrorNumber
		text          string
	}{
		{"uuid", "<uuid>12</uuid>", libvirt.ErrInternalError, "malformed uuid element"},
		{"title", "<title>a\nb</title>", libvirt.ErrXMLError, "can't contain newlines"},
		{"mode", "<forward mode='teleport'/>", libvirt.ErrConfigUnsupported, "unknown forwarding type 'teleport'"},
		{"nat without address", "<forward/>", libvirt.ErrXMLError, "nat forwarding requested, but no IP address provided for network 'n'"},
		{"nat in open", "<forward mode='open'><nat/></forward>" + ipv4 + "</ip>", libvirt.ErrXMLError, "can only be used when <forward> 'mode' is 'nat'"},
		{"two nat", "<forward><nat/><nat/></forward>", libvirt.ErrXMLError, "Only one <nat> element"},
		{"nat port", "<forward><nat><port start='9' end='8'/></nat></forward>", libvirt.ErrXMLDetail, "Missing or invalid 'end' attribute in <port>"},
		{"nat address", "<forward><nat><address start='1.2.3.4'/></nat></forward>", libvirt.ErrXMLError, "missing 'end' attribute in <address>"},
		{"open dev", "<forward mode='open' dev='eth0'/>" + ipv4 + "</ip>", libvirt.ErrXMLError, "forward dev not allowed for network 'n' with forward mode='open'"},
		{"two devices", "<forward dev='a'><interface dev='b'/></forward>", libvirt.ErrXMLError, "<forward dev='a'> must match first <interface dev='b'/>"},
		{"device twice", "<forward mode='vepa'><interface dev='a'/><interface dev='a'/></forward>", libvirt.ErrXMLError, "interface 'a' can only be listed once in network n"},
		{"pci", "<forward mode='hostdev'><address type='pci'/></forward>", libvirt.ErrConfigUnsupported, "cannot lend PCI devices"},
		{"bridge and device", "<forward mode='bridge' dev='a'/><bridge name='br0'/>", libvirt.ErrXMLError, "can specify a bridge name or a forward dev, but not both"},
		{"bridge of vepa", "<forward mode='vepa'/><bridge name='br0'/>", libvirt.ErrXMLError, "bridge name not allowed in vepa mode"},
		{"stp of a bridge", "<forward mode='bridge'/><bridge name='br0' stp='on'/>", libvirt.ErrXMLError, "bridge delay/stp/zone options only allowed"},
		{"mtu of a bridge", "<forward mode='bridge'/><mtu size='900'/>", libvirt.ErrXMLError, "mtu size only allowed in open, route, nat, and isolated mode"},
		{"mtu", "<mtu size='big'/>", libvirt.ErrXMLError, "Invalid mtu size 'big' in network 'n'"},
		{"delay", "<bridge delay='-1'/>", libvirt.ErrXMLError, "Invalid delay value in network 'n'"},
		{"mac", "<mac address='1:2:3'/>", libvirt.ErrXMLError, "Invalid bridge mac address '1:2:3' in network 'n'"},
		{"multicast mac", "<mac address='01:00:00:00:00:00'/>", libvirt.ErrXMLError, "Invalid multicast bridge mac address"},
		{"yes or no", "<port isolated='maybe'/>", libvirt.ErrXMLError, "Invalid value for attribute 'isolated' in element 'port': 'maybe'."},
		{"no address", "<ip/>", libvirt.ErrXMLError, "Missing required address attribute in network 'n'"},
		{"address", "<ip address='10.0.0'/>", libvirt.ErrXMLError, "Invalid address '10.0.0' in network 'n'"},
		{"zone", "<ip family='ipv6' address='fe80::1%eth0'/>", libvirt.ErrXMLError, "Invalid address"},
		{"family", "<ip family='ipx' address='10.0.0.1'/>", libvirt.ErrXMLError, "Unrecognized family 'ipx' in network 'n'"},
		{"IPv6 without family", "<ip address='fd00::1'/>", libvirt.ErrConfigUnsupported, "no family specified for non-IPv4 address 'fd00::1' in network 'n'"},
		{"netmask and prefix", "<ip address='10.0.0.1' netmask='255.0.0.0' prefix='8'/>", libvirt.ErrConfigUnsupported, "cannot have both a prefix and a netmask"},
		{"prefix", "<ip address='10.0.0.1' prefix='33'/>", libvirt.ErrConfigUnsupported, "Invalid IPv4 prefix '33' in network 'n'"},
		{"IPv6 netmask", "<ip family='ipv6' address='fd00::1' netmask='255.0.0.0'/>", libvirt.ErrConfigUnsupported, "netmask not allowed for IPv6 address"},
		{"range outside", dhcp("<range start='10.0.0.9' end='10.0.1.9'/>"), libvirt.ErrInternalError, "range 10.0.0.9 - 10.0.1.9 is not entirely within network 10.0.0.1/24"},
		{"range reversed", dhcp("<range start='10.0.0.9' end='10.0.0.8'/>"), libvirt.ErrInternalError, "range 10.0.0.9 - 10.0.0.8 is reversed"},
		{"network address", dhcp("<range start='10.0.0.0' end='10.0.0.8'/>"), libvirt.ErrInternalError, "start of range 10.0.0.0 - 10.0.0.8 in network 10.0.0.1/24 is the network address"},
		{"broadcast", dhcp("<range start='10.0.0.2' end='10.0.0.255'/>"), libvirt.ErrInternalError, "is the broadcast address"},
		{"families of a range", dhcp("<range start='10.0.0.2' end='fd00::2'/>"), libvirt.ErrInternalError, "mismatch of address family in range 10.0.0.2 - fd00::2"},
		{"big range", "<ip address='10.0.0.1' prefix='8'><dhcp><range start='10.0.0.2' end='10.9.0.2'/></dhcp></ip>", libvirt.ErrInternalError, "is too large (> 65535)"},
		{"no start", dhcp("<range end='10.0.0.8'/>"), libvirt.ErrXMLError, "Missing 'start' attribute in dhcp range for network 'n'"},
		{"short lease", dhcp("<range start='10.0.0.2' end='10.0.0.8'><lease expiry='1'/></range>"), libvirt.ErrConfigUnsupported, "The minimum lease time should be greater than 2 minutes"},
		{"unit of a lease", dhcp("<range start='10.0.0.2' end='10.0.0.8'><lease expiry='9' unit='days'/></range>"), libvirt.ErrXMLError, "Invalid value for attribute 'unit' in element 'lease': 'days'."},
		{"host without ip", dhcp("<host mac='52:54:00:00:00:01'/>"), libvirt.ErrXMLError, "Missing IP address in static host definition for network 'n'"},
		{"host without mac", dhcp("<host ip='10.0.0.2'/>"), libvirt.ErrXMLError, "Static host definition in IPv4 network 'n' must have mac or name attribute"},
		{"host's name", dhcp("<host ip='10.0.0.2' name='-x'/>"), libvirt.ErrXMLError, "Cannot use host name '-x' in network 'n'"},
		{"host's mac", dhcp("<host ip='10.0.0.2' mac='zz'/>"), libvirt.ErrXMLError, "Cannot parse MAC address 'zz' in network 'n'"},
		{"IPv6 host's mac", ipv6("<host ip='fd00::2' mac='52:54:00:00:00:01'/>"), libvirt.ErrXMLError, "Invalid to specify MAC address '52:54:00:00:00:01' in network 'n' IPv6"},
		{"IPv6 host's id", ipv6("<host ip='fd00::2' id='0:xyz'/>"), libvirt.ErrXMLError, "Invalid character 'x' in id '0:xyz' of network 'n'"},
		{"tftp", "<ip family='ipv6' address='fd00::1'><tftp root='/'/></ip>", libvirt.ErrConfigUnsupported, "Unsupported <tftp> element in an IPv6 element"},
		{"disabled dns", "<dns enable='no'><txt name='a' value='b'/></dns>", libvirt.ErrXMLError, "Extra data in disabled network 'n'"},
		{"dns host", "<dns><host ip='10.0.0.3'/></dns>", libvirt.ErrXMLDetail, "Missing hostname in network 'n' DNS HOST record"},
		{"txt", "<dns><txt name='a b' value='c'/></dns>", libvirt.ErrXMLDetail, "prohibited character in DNS TXT record name 'a b' of network n"},
		{"srv", "<dns><srv service='a.b' protocol='tcp'/></dns>", libvirt.ErrXMLDetail, "invalid character in service attribute 'a.b'"},
		{"srv port", "<dns><srv service='a' protocol='tcp' target='t' port='65536'/></dns>", libvirt.ErrXMLDetail, "invalid DNS SRV port attribute for service 'a' in network 'n'"},
		{"srv target", "<dns><srv service='a' protocol='tcp' weight='1'/></dns>", libvirt.ErrXMLDetail, "DNS SRV weight attribute not permitted without target"},
		{"forwarder", "<dns><forwarder/></dns>", libvirt.ErrXMLError, "must contain at least one of addr or domain"},
		{"vlan", "<vlan/>", libvirt.ErrXMLError, "missing tag id"},
		{"tag", "<vlan><tag id='4096'/></vlan>", libvirt.ErrXMLError, "vlan tag id 4096 too large (maximum 4095)"},
		{"trunk", "<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>", libvirt.ErrXMLError, "trunk='yes' is required for more than one vlan tag"},
		{"bandwidth", "<bandwidth><inbound peak='1'/></bandwidth>", libvirt.ErrXMLDetail, "Missing mandatory average or floor attributes"},
		{"floor", "<bandwidth><inbound average='1' floor='1'/></bandwidth>", libvirt.ErrConfigUnsupported, "floor attribute is not supported for this config"},
		{"portgroup", "<portgroup/>", libvirt.ErrXMLError, "Missing required name attribute in portgroup"},
		{"virtualport", "<virtualport type='openvswitch'/>", libvirt.ErrConfigUnsupported, "<virtualport> is not available"},
		{"dnsmasq", "<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'/>", libvirt.ErrConfigUnsupported, "<dnsmasq:options> is not available"},
		{"gateway", ipv4 + "</ip><route address='10.1.0.0' prefix='16' gateway='10.9.0.1'/>", libvirt.ErrConfigUnsupported, "unreachable static route gateway '10.9.0.1' specified for network 'n'"},
		{"route", ipv4 + "</ip><route address='10.1.0.1' prefix='16' gateway='10.0.0.9'/>", libvirt.ErrXMLError, "n: Address '10.1.0.1' in route definition is not a network address"},
		{"metadata", "<metadata><a:b/></metadata>", libvirt.ErrXMLDetail, "Namespace prefix a on a:b is not defined"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(document(test.content))
			wrong(t, err, test.code, test.text)
		})
	}
}

func TestParseRefusesTexts(t *testing.T) {
	for _, test := range []struct {
		name, document string
		code           libvirt.ErrorNumber
		text           string
	}{
		{"nothing", "", libvirt.ErrXMLDetail, "Document is empty"},
		{"text", "hello", libvirt.ErrXMLDetail, "Start tag expected, '<' not found"},
		{"another root", "<pool/>", libvirt.ErrXMLError, "expecting root element of 'network', not 'pool'"},
		{"open", "<network>\n<name>", libvirt.ErrXMLDetail, "(network_definition):2:"},
		{"two roots", "<network><name>n</name></network><a/>", libvirt.ErrXMLDetail, "Extra content"},
		{"doctype", "<!DOCTYPE network [<!ENTITY a 'b'>]><network/>", libvirt.ErrXMLDetail, "document type declaration"},
		{"deep", strings.Repeat("<network>", 100), libvirt.ErrXMLDetail, "more than 64 deep"},
		{"long", "<network>" + strings.Repeat(" ", 2<<20) + "</network>", libvirt.ErrXMLDetail, "bytes long"},
		{"attribute twice", "<network ipv6='no' ipv6='yes'/>", libvirt.ErrXMLDetail, "Attribute ipv6 redefined"},
		{"no name", "<network/>", libvirt.ErrNoName, "missing name information"},
		{"slash", "<network><name>a/b</name></network>", libvirt.ErrXMLDetail, "invalid char in name: /"},
		{"newline", "<network><name>a\nb</name></network>", libvirt.ErrXMLDetail, "invalid char in name"},
		{"long name", "<network><name>" + strings.Repeat("n", 300) + "</name></network>", libvirt.ErrXMLError, "300 bytes long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(test.document)
			wrong(t, err, test.code, test.text)
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	second := "<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>"
	hosts := func(hosts string) string { return ipv4 + "<dhcp>" + hosts + "</dhcp></ip>" }
	for _, test := range []struct {
		name, content string
		code          libvirt.ErrorNumber
		text          string
	}{
		{"ip of a bridge", "<forward mode='bridge'/><bridge name='br0'/>" + ipv4 + "</ip>", libvirt.ErrConfigUnsupported, "Unsupported <ip> element in network n with forward mode='bridge'"},
		{"bandwidth", "<forward mode='vepa' dev='a'/><bandwidth><inbound average='1'/></bandwidth>", libvirt.ErrConfigUnsupported, "Unsupported network-wide <bandwidth> element"},
		{"two dhcp", hosts("<range start='10.0.0.2' end='10.0.0.9'/>") + second, libvirt.ErrConfigUnsupported, "Multiple IPv4 dhcp sections found"},
		{"two defaults", "<portgroup name='a' default='yes'/><portgroup name='b' default='yes'/>", libvirt.ErrConfigUnsupported, "has multiple default <portgroup> elements (a and b)"},
		{"same group", "<portgroup name='a'/><portgroup name='a'/>", libvirt.ErrConfigUnsupported, "multiple <portgroup> elements with the same name (a)"},
		{"no prefix", "<ip address='240.0.0.1'/>", libvirt.ErrInternalError, "has an invalid netmask or IP address"},
		{"netmask with gaps", "<ip address='10.0.0.1' netmask='255.0.255.0'/>", libvirt.ErrInternalError, "has an invalid netmask or IP address"},
		{"network address", "<ip address='10.0.0.0' prefix='24'/>", libvirt.ErrConfigUnsupported, "is the network or broadcast address of 10.0.0.0/24"},
		{"loopback", "<ip address='127.0.0.1' prefix='24'/>", libvirt.ErrConfigUnsupported, "cannot be that of a host"},
		{"overlap", ipv4 + "</ip><ip address='10.0.0.129' prefix='25'/>", libvirt.ErrConfigUnsupported, "addresses 10.0.0.1/24 and 10.0.0.129/25 of network 'n'"},
		{"host outside", hosts("<host mac='52:54:00:00:00:01' ip='10.0.1.2'/>"), libvirt.ErrConfigUnsupported, "is not within 10.0.0.0/24"},
		{"host is gateway", hosts("<host mac='52:54:00:00:00:01' ip='10.0.0.1'/>"), libvirt.ErrConfigUnsupported, "is the network's own address"},
		{"same mac", hosts("<host mac='52:54:00:00:00:0A' ip='10.0.0.2'/><host mac='52:54:0:0:0:a' ip='10.0.0.3'/>"), libvirt.ErrOperationInvalid, "there is an existing dhcp host entry in network 'n' that matches"},
		{"same address", hosts("<host name='a' ip='10.0.0.2'/><host name='b' ip='10.0.0.2'/>"), libvirt.ErrOperationInvalid, "there is an existing dhcp host entry"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := Parse(document(test.content))
			if err != nil {
				t.Fatal(err)
			}
			wrong(t, n.Check(), test.code, test.text)
		})
	}
}

func TestSupportRefuses(t *testing.T) {
	for content, text := range map[string]string{
		"<forward mode='route'/>" + ipv4 + "</ip>":          "forward mode 'route' is not available",
		"<forward mode='hostdev'/>":                         "forward mode 'hostdev' is not available",
		"<forward mode='nat' dev='eth0'/>" + ipv4 + "</ip>": "attribute 'dev' of <forward mode='nat'>",
		"<forward mode='vepa'/>":                            "needs exactly one device of the host",
		"<mtu size='20'/>":                                  "mtu size 20 of network 'n' is not between",
		ipv4 + "<tftp root='/srv'/></ip>":                   "element <tftp> is not available",
		"<vlan><tag id='1' nativeMode='tagged'/></vlan>":    "nativeMode='tagged' in <vlan> is not available",
		"<forward><nat><address start='1.2.3.4' end='1.2.3.5'/></nat></forward>" + ipv4 + "</ip>": "element <nat><address> is not available",
	} {
		n, err := Parse(document(content))
		if err != nil {
			t.Fatal(err)
		}
		wrong(t, n.CheckSupport(), libvirt.ErrConfigUnsupported, text)
	}
}

func TestValidateRefusesTheUnknown(t *testing.T) {
	for content, path := range map[string]string{
		"<speed/>": "./speed", "<bridge nam='x'/>": "./bridge/@nam", "<dns><host ip='::1'><name/></host></dns>": "./dns/host/name",
	} {
		doc := document(content)
		if _, err := Parse(strings.Replace(doc, "<name/>", "<hostname>a</hostname>", 1)); err != nil {
			t.Errorf("libvirt passes over %s: %v", content, err)
		}
		wrong(t, Validate(doc), libvirt.ErrXMLInvalidSchema, "'"+path+"' is not part of a network's definition")
	}
}

func TestMadeUp(t *testing.T) {
	a, errA := Parse(document(""))
	b, errB := Parse(document(""))
	if errA != nil || errB != nil || a.UUID == b.UUID || a.UUID.Version() != 4 {
		t.Errorf("uuids %v %v (%v, %v)", a.UUID, b.UUID, errA, errB)
	}
	a.SetMAC()
	b.SetMAC()
	if a.MAC == b.MAC || !strings.HasPrefix(a.MAC, "52:54:00:") || len(a.MAC) != 17 {
		t.Errorf("addresses %s %s", a.MAC, b.MAC)
	}
	before := a.MAC
	if a.SetMAC(); a.MAC != before {
		t.Error("an address that was there is replaced")
	}
}

func TestMetadata(t *testing.T) {
	n, err := Parse(document(""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.MetadataOf(metadataTitle, "")
	wrong(t, err, libvirt.ErrNoNetworkMetadata, "Requested metadata element is not present")
	for kind, value := range map[int32]string{metadataDescription: "two\nlines <&>", metadataTitle: "short", metadataElement: `<tag a="1"/>`} {
		changed, err := n.WithMetadata(kind, &value, "k", "urn:x")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := changed.MetadataOf(kind, "urn:x"); err != nil || got != value {
			t.Errorf("kind %d is %q (%v), want %q", kind, got, err, value)
		}
		gone, err := changed.WithMetadata(kind, nil, "k", "urn:x")
		if err != nil || gone.XML() != n.XML() {
			t.Errorf("kind %d removed (%v):\n%s", kind, err, gone.XML())
		}
	}
	bad := "a\nb"
	_, err = n.WithMetadata(metadataTitle, &bad, "", "")
	wrong(t, err, libvirt.ErrInvalidArg, "metadata title can't contain newlines")
	_, err = n.WithMetadata(9, &bad, "", "")
	wrong(t, err, libvirt.ErrInvalidArg, "unknown metadata type '9'")
}

func FuzzParse(f *testing.F) {
	for _, doc := range inputs(f) {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		_ = Validate(doc)
		n, err := Parse(doc)
		if err != nil {
			return
		}
		_, _ = n.Check(), n.CheckSupport()
		text := n.XML()
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("cannot read what was written: %v\n%s", err, text)
		}
		if again.XML() != text {
			t.Errorf("written again it is\n%s\nnot\n%s", again.XML(), text)
		}
	})
}
