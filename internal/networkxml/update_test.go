package networkxml

import (
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

const updated = `<network><name>n</name>
<portgroup name='a' default='yes'/><portgroup name='b'/>
<dns><txt name='t' value='v'/><srv service='s' protocol='tcp'/><srv service='s' protocol='udp'/>
<host ip='10.0.0.50'><hostname>x</hostname></host><host ip='10.0.0.51'><hostname>x</hostname></host></dns>
<ip address='10.9.0.1' prefix='24'/>
<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' end='10.0.0.9'/><host mac='52:54:00:00:00:01' name='one' ip='10.0.0.20'/></dhcp></ip>
<ip family='ipv6' address='fd00::1' prefix='64'/></network>`

func TestUpdate(t *testing.T) {
	n, err := Parse(updated)
	if err != nil {
		t.Fatal(err)
	}
	before := n.XML()
	for _, test := range []struct {
		name    string
		c       Command
		section Section
		index   int
		doc     string
		want    string // what is in it then, or after "-" no more
	}{
		{"host last", addLast, libvirt.NetworkSectionIPDhcpHost, -1, "<host mac='52:54:00:00:00:02' ip='10.0.0.21'/>", "ip='10.0.0.20'/>\n      <host mac='52:54:00:00:00:02' ip='10.0.0.21'/>"},
		{"host first", addFirst, libvirt.NetworkSectionIPDhcpHost, 1, "<host name='two' ip='10.0.0.21'/>", "<host name='two' ip='10.0.0.21'/>\n      <host mac"},
		{"host modified by mac", modify, libvirt.NetworkSectionIPDhcpHost, -1, "<host mac='52:54:0:0:0:1' ip='10.0.0.99'/>", "<host mac='52:54:0:0:0:1' ip='10.0.0.99'/>\n    </dhcp>"},
		{"host gone by name", remove, libvirt.NetworkSectionIPDhcpHost, -1, "<host name='one'/>", "-<host mac"},
		{"IPv6 host", addLast, libvirt.NetworkSectionIPDhcpHost, 2, "<host name='six' ip='fd00::6'/>", "<host name='six' ip='fd00::6'/>"},
		{"range", addLast, libvirt.NetworkSectionIPDhcpRange, -1, "<range start='10.0.0.30' end='10.0.0.40'/>", "end='10.0.0.9'/>\n      <range start='10.0.0.30' end='10.0.0.40'/>"},
		{"range gone", remove, libvirt.NetworkSectionIPDhcpRange, -1, "<range start='10.0.0.2' end='10.0.0.9'/>", "-<range"},
		{"group", addLast, libvirt.NetworkSectionPortgroup, -1, "<portgroup name='c'/>", "<portgroup name='c'>\n  </portgroup>\n</network>"},
		{"group modified", modify, libvirt.NetworkSectionPortgroup, -1, "<portgroup name='b'><vlan><tag id='3'/></vlan></portgroup>", "<tag id='3'/>"},
		{"group gone", remove, libvirt.NetworkSectionPortgroup, -1, "<portgroup name='b'/>", "-name='b'"},
		{"dns host", addFirst, libvirt.NetworkSectionDNSHost, -1, "<host ip='10.0.0.52'><hostname>x</hostname></host>", "<host ip='10.0.0.52'>"},
		{"dns host gone", remove, libvirt.NetworkSectionDNSHost, -1, "<host ip='10.0.0.51'/>", "-10.0.0.51"},
		{"txt", addLast, libvirt.NetworkSectionDNSTxt, -1, "<txt name='u' value='w'/>", "<txt name='u' value='w'/>"},
		{"txt gone", remove, libvirt.NetworkSectionDNSTxt, -1, "<txt name='t'/>", "-<txt"},
		{"srv", addLast, libvirt.NetworkSectionDNSSrv, -1, "<srv service='r' protocol='tcp'/>", "<srv service='r' protocol='tcp'/>"},
		{"srv gone", remove, libvirt.NetworkSectionDNSSrv, -1, "<srv protocol='udp'/>", "-protocol='udp'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed, err := n.Update(test.c, test.section, test.index, test.doc)
			if err != nil {
				t.Fatal(err)
			}
			gone, isGone := strings.CutPrefix(test.want, "-")
			if text := changed.XML(); strings.Contains(text, gone) == isGone {
				t.Errorf("want %q in or not in\n%s", test.want, text)
			}
		})
	}
	if n.XML() != before {
		t.Errorf("the network itself was changed:\n%s", n.XML())
	}
}

func TestUpdateRefuses(t *testing.T) {
	n, err := Parse(updated)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		c       Command
		section Section
		index   int
		doc     string
		code    libvirt.ErrorNumber
		text    string
	}{
		{"bridge", modify, libvirt.NetworkSectionBridge, -1, "<bridge/>", libvirt.ErrOperationUnsupported, "can't update 'bridge' section of network 'n'"},
		{"domain", modify, libvirt.NetworkSectionDomain, -1, "<domain/>", libvirt.ErrOperationUnsupported, "can't update 'domain' section"},
		{"ip", addLast, libvirt.NetworkSectionIP, -1, "<ip/>", libvirt.ErrOperationUnsupported, "can't update 'ip' section"},
		{"forward", modify, libvirt.NetworkSectionForward, -1, "<forward/>", libvirt.ErrOperationUnsupported, "can't update 'forward' section"},
		{"pf", modify, libvirt.NetworkSectionForwardPf, -1, "<pf/>", libvirt.ErrOperationUnsupported, "can't update 'forward pf' section"},
		{"no section", modify, 99, -1, "<a/>", libvirt.ErrOperationUnsupported, "can't update unrecognized section of network"},
		{"no command", 99, libvirt.NetworkSectionDNSTxt, -1, "<txt name='t'/>", libvirt.ErrOperationUnsupported, "unrecognized network update command code 99"},
		{"element", addLast, libvirt.NetworkSectionDNSTxt, -1, "<host/>", libvirt.ErrXMLError, "unexpected element <host>, expecting <txt>, while updating network 'n'"},
		{"text", addLast, libvirt.NetworkSectionDNSTxt, -1, "txt", libvirt.ErrXMLDetail, "(network_update_xml):1:"},
		{"same mac", addLast, libvirt.NetworkSectionIPDhcpHost, -1, "<host mac='52:54:00:00:00:01' ip='10.0.0.77'/>", libvirt.ErrOperationInvalid, `there is an existing dhcp host entry in network 'n' that matches "<host mac='52:54:00:00:00:01' name='(null)' ip='10.0.0.77'/>"`},
		{"no host", modify, libvirt.NetworkSectionIPDhcpHost, -1, "<host name='no' ip='10.0.0.77'/>", libvirt.ErrOperationInvalid, `couldn't locate an existing dhcp host entry with "mac='unknown'" "name='no'" "ip='10.0.0.77'" in network 'n'`},
		{"no such host", remove, libvirt.NetworkSectionIPDhcpHost, -1, "<host name='no'/>", libvirt.ErrOperationInvalid, "couldn't locate a matching dhcp host entry in network 'n'"},
		{"index", addLast, libvirt.NetworkSectionIPDhcpHost, 7, "<host name='no' ip='10.0.0.77'/>", libvirt.ErrOperationInvalid, "no <ip> element found at index 7 in network 'n'"},
		{"second dhcp", addLast, libvirt.NetworkSectionIPDhcpHost, 0, "<host name='no' ip='10.9.0.77'/>", libvirt.ErrOperationInvalid, "dhcp is supported only for a single IPv4 address on each network"},
		{"family", addLast, libvirt.NetworkSectionIPDhcpHost, -1, "<host name='no' ip='fd00::9'/>", libvirt.ErrOperationInvalid, "the address family of a host entry IP must match"},
		{"range modified", modify, libvirt.NetworkSectionIPDhcpRange, -1, "<range/>", libvirt.ErrOperationUnsupported, "dhcp ranges cannot be modified, only added or deleted"},
		{"same range", addLast, libvirt.NetworkSectionIPDhcpRange, -1, "<range start='10.0.0.2' end='10.0.0.9'/>", libvirt.ErrOperationInvalid, "there is an existing dhcp range entry"},
		{"range outside", addLast, libvirt.NetworkSectionIPDhcpRange, -1, "<range start='10.2.0.2' end='10.2.0.9'/>", libvirt.ErrInternalError, "is not entirely within network"},
		{"second default", addLast, libvirt.NetworkSectionPortgroup, -1, "<portgroup name='c' default='yes'/>", libvirt.ErrOperationInvalid, "Only one default is allowed."},
		{"same group", addLast, libvirt.NetworkSectionPortgroup, -1, "<portgroup name='b'/>", libvirt.ErrOperationInvalid, `there is an existing portgroup entry in network 'n' that matches "<portgroup name='b'>"`},
		{"no group", remove, libvirt.NetworkSectionPortgroup, -1, "<portgroup name='z'/>", libvirt.ErrOperationInvalid, "couldn't find a portgroup entry in network 'n' matching <portgroup name='z'>"},
		{"same dns host", addLast, libvirt.NetworkSectionDNSHost, -1, "<host ip='10.0.0.50'><hostname>q</hostname></host>", libvirt.ErrOperationInvalid, "there is already at least one DNS HOST record with a matching field in network n"},
		{"two dns hosts", remove, libvirt.NetworkSectionDNSHost, -1, "<host><hostname>x</hostname></host>", libvirt.ErrOperationInvalid, "multiple matching DNS HOST records were found in network n"},
		{"same txt", addLast, libvirt.NetworkSectionDNSTxt, -1, "<txt name='t' value='w'/>", libvirt.ErrOperationInvalid, "there is already a DNS TXT record with name 't' in network n"},
		{"two srv", remove, libvirt.NetworkSectionDNSSrv, -1, "<srv service='s'/>", libvirt.ErrOperationInvalid, "multiple DNS SRV records matching all specified fields were found in network n"},
		{"no device", remove, libvirt.NetworkSectionForwardInterface, -1, "<interface dev='e'/>", libvirt.ErrOperationInvalid, "couldn't find an interface entry in network 'n' matching <interface dev='e'>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := n.Update(test.c, test.section, test.index, test.doc)
			wrong(t, err, test.code, test.text)
		})
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add(int32(addLast), int32(libvirt.NetworkSectionIPDhcpHost), int32(-1), "<host name='two' ip='10.0.0.21'/>")
	f.Add(int32(remove), int32(libvirt.NetworkSectionDNSSrv), int32(0), "<srv protocol='udp'/>")
	n, err := Parse(updated)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, c, section, index int32, doc string) {
		changed, err := n.Update(Command(c), Section(section), int(index), doc)
		if err == nil && changed.Name != n.Name {
			t.Errorf("the update made a network %q", changed.Name)
		}
	})
}
