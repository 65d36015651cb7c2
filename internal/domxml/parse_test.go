package domxml

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// domain makes a complete document of a head and devices.
func domain(head, devices string) string {
	if !strings.Contains(head, "<name>") {
		head += "<name>x</name>"
	}
	if !strings.HasPrefix(head, "<memory>") && !strings.HasPrefix(head, "<memory unit") {
		head += "<memory>65536</memory>"
	}
	if !strings.Contains(head, "<os>") {
		head += "<os><type>uml</type></os>"
	}
	return "<domain type='uml'>" + head + "<devices>" + devices + "</devices></domain>"
}

func disk(inner string) string {
	return domain("", "<disk type='file'>"+inner+"</disk>")
}

func volume(inner string) string {
	return domain("", "<disk type='volume'>"+inner+"<target dev='ubda'/></disk>")
}

func serial(kind, inner string) string {
	return domain("", "<serial type='"+kind+"'>"+inner+"</serial>")
}

const okDisk = "<source file='/x'/><target dev='ubda'/>"

func TestParseRefuses(t *testing.T) {
	entities := `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>`
	tests := []struct {
		name   string
		doc    string
		code   libvirt.ErrorNumber
		domain virerr.Domain
		text   string // part of the message
	}{
		{"empty", "", 35, 20, "(domain_definition):1: Document is empty"},
		{"unclosed", "<domain type='uml'>", 35, 20, "(domain_definition):1: unexpected EOF"},
		{"text", "hello", 35, 20, "'<' not found"},
		{"junk after", domain("", "") + "junk", 35, 20, "Extra content at the end of the document"},
		{"second root", domain("", "") + "<domain/>", 35, 20, "Extra content"},
		{"wrong root", "<network/>", 27, 5, "expecting root element of 'domain', not 'network'"},
		{"entity bomb", entities + domain("<title>&b;</title>", ""), 35, 20, "document type declaration"},
		{"unknown entity", domain("<title>&b;</title>", ""), 35, 20, "entity"},
		{"too long", domain("<title>"+strings.Repeat("a", maxDocument)+"</title>", ""), 35, 20, "at most 4194304"},
		{"too deep", strings.Repeat("<a>", 300), 35, 20, "nested deeper than 256"},
		{"too many", domain("", strings.Repeat("<console/>", 1<<16)), 35, 20, "more than 65536 elements"},
		{"same source", domain("", "<disk type='file'>"+okDisk+"</disk><disk type='file'><source file='/x'/><target dev='ubdb'/></disk>"), 27, 20, "disks 'ubda' and 'ubdb' have the same source '/x'"},
		{"deep backing", disk(strings.Repeat("<backingStore>", 100000)), 35, 20, "nested deeper"},
		{"not UTF-8", domain("<title>\xff</title>", ""), 35, 20, "UTF-8"},
		{"NUL", domain("<name>a\x00b</name>", ""), 35, 20, "Char value 0"},
		{"NUL reference", domain("<name>a&#0;b</name>", ""), 35, 20, "illegal character"},
		{"encoding", `<?xml version="1.0" encoding="utf-16"?>` + domain("", ""), 35, 20, "not supported, use UTF-8"},

		{"no type", "<domain/>", 1, 20, "missing domain type attribute"},
		{"unknown type", "<domain type='zzz'/>", 67, 20, "invalid domain type zzz"},
		{"other type", "<domain type='kvm'/>", 67, 21, "unexpected domain type kvm"},
		{"no name", "<domain type='uml'/>", 21, 20, "missing name information"},
		{"slash", domain("<name>a/b</name>", ""), 27, 20, "name a/b cannot contain '/'"},
		{"line break", domain("<name>a\nb</name>", ""), 35, 5, "invalid char in name"},
		{"long name", domain("<name>"+strings.Repeat("n", 241)+"</name>", ""), 27, 20, "241 bytes long, at most 240"},
		{"bad uuid", domain("<uuid>zz</uuid>", ""), 1, 20, "malformed uuid element"},
		{"title", domain("<title>a\nb</title>", ""), 27, 20, "Domain title can't contain newlines"},

		{"no memory", "<domain type='uml'><name>x</name><os><type>uml</type></os></domain>", 27, 20, "Memory size must be specified"},
		{"negative memory", domain("<memory>-5</memory>", ""), 27, 5, "Invalid value '-5' for element or attribute './memory'"},
		{"huge memory", domain("<memory>99999999999999999999</memory>", ""), 27, 5, "'./memory'"},
		{"memory unit", domain("<memory unit='foo'>5</memory>", ""), 8, 0, "unknown suffix 'foo' in element <memory>"},
		{"memory overflow", domain("<memory unit='EiB'>99999</memory>", ""), 82, 0, "value too large: 99999EiB"},
		{"little memory", domain("<memory unit='MiB'>16</memory>", ""), 67, 21, "<memory>: 16384 KiB are too few"},
		{"no vcpu", domain("<vcpu>0</vcpu>", ""), 67, 20, "0 maximum vCPUs"},
		{"negative vcpu", domain("<vcpu>-1</vcpu>", ""), 27, 5, "'./vcpu'"},
		{"current vcpu", domain("<vcpu current='3'>2</vcpu>", ""), 67, 20, "maximum vCPU count"},
		{"many vcpus", domain("<vcpu>65</vcpu>", ""), 67, 21, "at most 64"},
		{"cpuset", domain("<vcpu cpuset='0-1'>1</vcpu>", ""), 67, 21, "cpuset='0-1'"},
		{"action", domain("<on_reboot>zz</on_reboot>", ""), 67, 20, "unknown on_reboot action: zz"},
		{"core dump", domain("<on_crash>coredump-restart</on_crash>", ""), 67, 21, "<on_crash>: action 'coredump-restart'"},

		{"no os", "<domain type='uml'><name>x</name></domain>", 27, 20, "an os <type> must be specified"},
		{"os type", domain("<os><type>hvm</type></os>", ""), 67, 21, "<os/type>: type 'hvm'"},
		{"unknown os type", domain("<os><type>zzz</type></os>", ""), 67, 20, "unknown OS type 'zzz'"},
		{"arch", domain("<os><type arch='ppc64'>uml</type></os>", ""), 67, 21, "arch='ppc64'"},
		{"machine", domain("<os><type machine='q35'>uml</type></os>", ""), 67, 21, "<os/type machine>"},
		{"loader", domain("<os><type>uml</type><loader>/x</loader></os>", ""), 67, 21, "<os/loader>"},
		{"boot menu", domain("<os><type>uml</type><bootmenu enable='yes'/></os>", ""), 67, 21, "<os/bootmenu>"},
		{"init", domain("<os><type>uml</type><init>/sbin/init</init></os>", ""), 67, 21, "use init= in <cmdline>"},
		{"relative kernel", domain("<os><type>uml</type><kernel>linux</kernel></os>", ""), 27, 20, "<os/kernel>: path 'linux' is not absolute"},
		{"initrd", domain("<os><type>uml</type><initrd>/a\nb</initrd></os>", ""), 27, 20, "<os/initrd>"},
		{"cmdline", domain("<os><type>uml</type><cmdline>a\nb</cmdline></os>", ""), 27, 20, "<os/cmdline>"},
		{"long cmdline", domain("<os><type>uml</type><cmdline>"+strings.Repeat("c", 4096)+"</cmdline></os>", ""), 27, 20, "4096 bytes"},
		{"root", domain("<os><type>uml</type><root>/dev/a b</root></os>", ""), 27, 20, "<os/root>"},

		{"hugepages", domain("<memoryBacking><hugepages/></memoryBacking>", ""), 67, 21, "<memoryBacking/hugepages>"},
		{"maxMemory", domain("<maxMemory slots='2'>5</maxMemory>", ""), 67, 21, "<maxMemory>"},
		{"cputune", domain("<cputune><shares>5</shares></cputune>", ""), 67, 21, "<cputune>"},
		{"numatune", domain("<numatune><memory mode='strict'/></numatune>", ""), 67, 21, "<numatune>"},
		{"blkiotune", domain("<blkiotune><weight>5</weight></blkiotune>", ""), 67, 21, "<blkiotune>"},
		{"memtune", domain("<memtune><hard_limit>5</hard_limit></memtune>", ""), 67, 21, "<memtune>"},
		{"sysinfo", domain("<sysinfo type='smbios'/>", ""), 67, 21, "<sysinfo>"},
		{"hyperv", domain("<features><hyperv/></features>", ""), 67, 21, "<features/hyperv>"},
		{"clock", domain("<clock offset='variable'/>", ""), 67, 21, "<clock>: offset='variable'"},
		{"numa", domain("<cpu><numa><cell id='0' memory='5'/></numa></cpu>", ""), 67, 21, "<cpu/numa>"},
		{"hostdev", domain("", "<hostdev mode='subsystem' type='pci'/>"), 67, 21, "<devices/hostdev>"},
		{"tpm", domain("", "<tpm model='tpm-tis'/>"), 67, 21, "<devices/tpm>"},
		{"sound", domain("", "<sound model='ich6'/>"), 67, 21, "<devices/sound>"},
		{"channel", domain("", "<channel type='unix'/>"), 67, 21, "<devices/channel>"},
		{"parallel", domain("", "<parallel type='pty'/>"), 67, 21, "<devices/parallel>"},
		{"watchdog", domain("", "<watchdog model='i6300esb'/>"), 67, 21, "<devices/watchdog>"},
		{"vsock", domain("", "<vsock model='virtio'/>"), 67, 21, "<devices/vsock>"},
		{"shmem", domain("", "<shmem name='x'/>"), 67, 21, "<devices/shmem>"},
		{"memory device", domain("", "<memory model='dimm'/>"), 67, 21, "<devices/memory>"},
		{"input", domain("", "<input type='evdev'/>"), 67, 21, "<devices/input>: type='evdev'"},
		{"graphics", domain("", "<graphics type='sdl'/>"), 67, 21, "<devices/graphics>"},
		{"balloon", domain("", "<memballoon model='xen'/>"), 67, 21, "<devices/memballoon>: model='xen'"},

		{"no disk target", disk("<source file='/x'/>"), 20, 20, "missing target information for device /x"},
		{"no disk source", disk("<target dev='ubda'/>"), 19, 20, "missing source information for device ubda"},
		{"disk name", disk("<source file='/x'/><target dev='zzz'/>"), 27, 20, "Unknown disk name 'zzz'"},
		{"disk unit", disk("<source file='/x'/><target dev='ubd16'/>"), 67, 21, "disk 'ubd16': User Mode Linux has units 0 to 15"},
		{"disk letter", disk("<source file='/x'/><target dev='vdq'/>"), 67, 21, "disk 'vdq'"},
		{"disk bus", disk("<source file='/x'/><target dev='ubda' bus='zz'/>"), 27, 5, "attribute 'bus' in element 'target': 'zz'"},
		{"floppy bus", disk("<source file='/x'/><target dev='ubda' bus='fdc'/>"), 67, 21, "bus='fdc'"},
		{"relative source", disk("<source file='x'/><target dev='ubda'/>"), 27, 20, "disk 'ubda': path 'x' is not absolute"},
		{"line break in source", disk("<source file='/x&#10;y'/><target dev='ubda'/>"), 27, 20, "line break"},
		{"cdrom", domain("", "<disk device='cdrom'>"+okDisk+"</disk>"), 67, 21, "device='cdrom'"},
		{"disk device", domain("", "<disk device='zz'>"+okDisk+"</disk>"), 27, 5, "element 'disk': 'zz'"},
		{"network disk", domain("", "<disk type='network'><source protocol='nbd'/><target dev='ubda'/></disk>"), 67, 21, "only type='file', type='block' and type='volume'"},
		{"volume without a pool", volume("<source volume='v'/>"), 27, 20, "'pool' and 'volume' must be specified together"},
		{"pool without a volume", volume("<source pool='p'/>"), 27, 20, "'pool' and 'volume' must be specified together"},
		{"volume of nothing", volume("<source/>"), 19, 20, "missing source information for device ubda"},
		{"volume mode", volume("<source pool='p' volume='v' mode='host'/>"), 27, 20, "only valid when storage pool is of iscsi type"},
		{"unknown volume mode", volume("<source pool='p' volume='v' mode='zz'/>"), 67, 20, "unknown source mode 'zz'"},
		{"volume startup policy", volume("<source pool='p' volume='v' startupPolicy='optional'/>"), 67, 21, "<source startupPolicy>"},
		{"same volume", domain("", "<disk type='volume'><source pool='p' volume='v'/><target dev='ubda'/></disk>"+
			"<disk type='volume'><source pool='p' volume='v'/><target dev='ubdb'/></disk>"), 27, 20, "have the same source 'p/v'"},
		{"volume as backing", disk(okDisk + "<backingStore type='volume'><source pool='p' volume='v'/></backingStore>"), 67, 21, "<backingStore>: only"},
		{"qcow2", disk("<driver type='qcow2'/>" + okDisk), 67, 21, "qemu-img convert -O raw"},
		{"qcow2 volume", volume("<source pool='p' volume='v'/><driver type='qcow2'/>"), 67, 21, "qemu-img convert -O raw"},
		{"iso", disk("<driver type='iso'/>" + okDisk), 67, 21, "use type='raw' with <readonly/>"},
		{"cache", disk("<driver cache='zz'/>" + okDisk), 27, 5, "attribute 'cache'"},
		{"discard", disk("<driver discard='zz'/>" + okDisk), 27, 5, "attribute 'discard'"},
		{"iotune", disk(okDisk + "<iotune><total_bytes_sec>5</total_bytes_sec></iotune>"), 67, 21, "disk 'ubda': element <iotune>"},
		{"encryption", disk(okDisk + "<encryption format='luks'/>"), 67, 21, "<encryption>"},
		{"transient", disk(okDisk + "<transient/>"), 67, 21, "<transient>"},
		{"serial", disk(okDisk + "<serial>a,b</serial>"), 27, 20, "serial 'a,b'"},
		{"shared cow", disk("<driver type='cow'/>" + okDisk + "<shareable/>"), 67, 21, "<shareable/>"},
		{"raw with backing", disk("<driver type='raw'/>" + okDisk + "<backingStore><source file='/b'/></backingStore>"), 67, 21, "a raw image has none"},
		{"qcow2 backing", disk(okDisk + "<backingStore><format type='qcow2'/><source file='/b'/></backingStore>"), 67, 21, "format 'qcow2'"},
		{"backing chain", disk(okDisk + "<backingStore><source file='/b'/><backingStore><source file='/c'/></backingStore></backingStore>"), 67, 21, "chains"},
		{"backing itself", disk(okDisk + "<backingStore><source file='/x'/></backingStore>"), 27, 20, "own source"},
		{"network backing", disk(okDisk + "<backingStore type='network'><source protocol='nbd'/></backingStore>"), 67, 21, "<backingStore>: only"},
		{"same target", domain("", "<disk>"+okDisk+"</disk><disk><source file='/y'/><target dev='ubda'/></disk>"), 27, 20, "target 'ubda' duplicated for disk sources '/x' and '/y'"},
		{"same unit", domain("", "<disk>"+okDisk+"</disk><disk><source file='/y'/><target dev='sda'/></disk>"), 27, 20, "'ubda' and 'sda' are both the guest's ubd0"},

		{"line type", serial("zz", ""), 67, 20, "character device: serial 0"},
		{"line type vc", serial("vc", ""), 67, 21, "serial 0: this type is not available"},
		{"line port", serial("pty", "<target port='64'/>"), 67, 21, "port 64 is out of range"},
		{"line port word", serial("pty", "<target port='x'/>"), 27, 5, "'./devices/serial/target/@port'"},
		{"console port", domain("", "<console><target port='16'/></console>"), 67, 21, "<devices/console>: port 16"},
		{"console type", domain("", "<console><target type='virtio'/></console>"), 67, 21, "target type='virtio'"},
		{"line model", serial("pty", "<target type='usb-serial'/>"), 67, 21, "target type='usb-serial'"},
		{"same line", domain("", "<serial type='pty'><target port='1'/></serial><serial type='null'><target port='1'/></serial>"), 27, 20, "port 1 is given twice"},
		{"no file", serial("file", ""), 1, 20, "Missing source path attribute for char device"},
		{"relative file", serial("file", "<source path='x'/>"), 27, 20, "serial 0: path 'x' is not absolute"},
		{"tcp host", serial("tcp", "<source mode='bind' service='5'/>"), 1, 20, "Missing source host attribute"},
		{"tcp service", serial("tcp", "<source mode='bind' host='h'/>"), 1, 20, "Missing source service attribute"},
		{"tcp port", serial("tcp", "<source mode='bind' host='h' service='65536'/>"), 27, 20, "service '65536'"},
		{"tcp connect", serial("tcp", "<source mode='connect' host='h' service='5'/>"), 67, 21, "mode='bind'"},
		{"tcp tls", serial("tcp", "<source mode='bind' host='h' service='5' tls='yes'/>"), 67, 21, "tls='yes'"},
		{"telnet", serial("tcp", "<source mode='bind' host='h' service='5'/><protocol type='telnet'/>"), 67, 21, "protocol type='telnet'"},
		{"unix connect", serial("unix", "<source mode='connect' path='/x'/>"), 67, 21, "mode='bind'"},
		{"unix path", serial("unix", "<source mode='bind' path='/"+strings.Repeat("p", 107)+"'/>"), 27, 20, "at most 107"},
		{"same address", domain("", strings.Repeat("<serial type='tcp'><source mode='bind' host='h' service='5'/></serial>", 2)), 27, 20, "both listen on h:5"},
		{"log", serial("pty", "<log file='x'/>"), 27, 20, "<log>: path 'x'"},

		{"filesystem type", domain("", "<filesystem type='ram'/>"), 67, 21, "only type='mount'"},
		{"filesystem target", domain("", "<filesystem><source dir='/x'/></filesystem>"), 20, 20, "device /x"},
		{"filesystem source", domain("", "<filesystem><target dir='x'/></filesystem>"), 19, 20, "device x"},
		{"virtiofs", domain("", "<filesystem><driver type='virtiofs'/><source dir='/x'/><target dir='x'/></filesystem>"), 67, 21, "hostfs"},
		{"mapped", domain("", "<filesystem accessmode='mapped'><source dir='/x'/><target dir='x'/></filesystem>"), 67, 21, "accessmode"},
		{"same share", domain("", strings.Repeat("<filesystem><source dir='/x'/><target dir='x'/></filesystem>", 2)), 27, 20, "target 'x' duplicated"},
		{"two roots", domain("<os><type>uml</type><root>/dev/ubda</root></os>", "<filesystem><source dir='/x'/><target dir='/'/></filesystem>"), 67, 21, "given twice"},

		{"interface type", domain("", "<interface type='zz'/>"), 27, 5, "element 'interface'"},
		{"no interface type", domain("", "<interface/>"), 27, 5, "Missing interface type attribute"},
		{"mac", domain("", "<interface type='user'><mac address='zz'/></interface>"), 27, 20, "unable to parse mac address 'zz'"},
		{"multicast", domain("", "<interface type='user'><mac address='01:00:00:00:00:01'/></interface>"), 27, 20, "multicast"},

		{"metadata prefix", domain("<metadata><a:b/></metadata>", ""), 35, 20, "Namespace prefix a on a:b is not defined"},
		{"metadata attribute", domain("<metadata><a b='1' b='2'/></metadata>", ""), 35, 20, "Attribute b redefined"},
		{"metadata doctype", domain("<metadata><!DOCTYPE x></metadata>", ""), 35, 20, "document type declaration"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.doc))
			var got *virerr.Error
			if !errors.As(err, &got) {
				t.Fatalf("Parse returned %v", err)
			}
			if got.Code != test.code || got.Domain != test.domain || !strings.Contains(got.Error(), test.text) {
				t.Errorf("got  %d/%d %s\nwant %d/%d ...%s...", got.Code, got.Domain, got, test.code, test.domain, test.text)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	tests := map[string]string{
		"byte order mark":    "\xef\xbb\xbf" + domain("", ""),
		"epilog":             domain("", "") + "\n<!-- end -->\n",
		"comment with tags":  "<!-- <domain> --><?pi <x>?>" + domain("<!-- <a><b> --><title><![CDATA[<x>]]></title>", ""),
		"brackets in values": domain("<title>a</title>", "<disk type='file'><source file='/a>b/'/><target dev=\"ubda\"/></disk>"),
		"64 characters":      domain("<name>"+strings.Repeat("n", 64)+"</name>", ""),
		"odd name":           domain("<name>ümläut ; 'x' ,:</name>", ""),
		"odd path":           disk(`<source file="/a b,c:d'e&quot;f"/><target dev='ubda'/>`),
		"unknown elements":   domain("<zzz><y/></zzz>", "<zzz/>"),
		"no port":            domain("", "<serial type='pty'/><serial type='pty'><target port='0'/></serial>"),
		"libxml depth":       domain("<metadata>"+strings.Repeat("<a>", 250)+strings.Repeat("</a>", 250)+"</metadata>", ""),
	}
	for name, doc := range tests {
		t.Run(name, func(t *testing.T) {
			checkRoundTrip(t, mustParse(t, doc))
		})
	}
}

func TestDiskUnit(t *testing.T) {
	tests := []struct {
		target, bus string
		unit        int
		ok          bool
	}{
		{"ubd0", "uml", 0, true}, {"ubd15", "uml", 15, true}, {"ubd16", "uml", 0, false},
		{"ubd05", "uml", 0, false}, {"ubda", "uml", 0, true}, {"ubdp", "uml", 15, true},
		{"ubdq", "uml", 0, false}, {"ubd", "uml", 0, false}, {"ubda1", "uml", 0, false},
		{"hdb", "ide", 1, true}, {"sdc", "scsi", 2, true}, {"vdd", "virtio", 3, true},
		{"xvde", "xen", 4, true}, {"sda1", "scsi", 0, false}, {"vd0", "virtio", 0, false},
		{"fda", "", 0, false}, {"", "", 0, false},
	}
	for _, test := range tests {
		unit, bus, ok := diskUnit(test.target)
		if ok != test.ok || bus != test.bus || (ok && unit != test.unit) {
			t.Errorf("diskUnit(%q) = %d, %q, %v", test.target, unit, bus, ok)
		}
	}
}

func TestToKiB(t *testing.T) {
	tests := []struct {
		value uint64
		unit  string
		want  uint64
	}{
		{500000, "", 500000}, {65537, "KiB", 65540}, {65536, "k", 65536}, {1, "G", 1 << 20},
		{1, "gib", 1 << 20}, {64, "MiB", 64 << 10}, {64, "MB", 62500}, {64000, "KB", 62500},
		{1, "b", 4}, {4096, "bytes", 4}, {4097, "byte", 8}, {1, "T", 1 << 30}, {1, "EiB", 1 << 50},
	}
	for _, test := range tests {
		got, err := toKiB("memory", test.value, test.unit)
		if err != nil || got != test.want {
			t.Errorf("toKiB(%d, %q) = %d, %v; want %d", test.value, test.unit, got, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range inputs(f) {
		f.Add(doc)
		f.Add(mustParse(f, doc).XML(true))
	}
	f.Fuzz(func(t *testing.T, doc string) {
		def, err := Parse([]byte(doc))
		if err != nil {
			var known *virerr.Error
			if !errors.As(err, &known) {
				t.Errorf("error without a code: %v", err)
			}
			return
		}
		checkRoundTrip(t, def)
	})
}

func BenchmarkParse(b *testing.B) {
	doc := []byte(mustParse(b, inputs(b)["virt-install"]).XML(true))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse10000 is a daemon's start with 10,000 defined domains.
func BenchmarkParse10000(b *testing.B) {
	text := mustParse(b, inputs(b)["virt-install"]).XML(true)
	docs := make([][]byte, 10000)
	for i := range docs {
		docs[i] = []byte(strings.Replace(text, "<name>vi", fmt.Sprintf("<name>vi%d", i), 1))
	}
	defs := make([]*Definition, len(docs))
	b.ReportAllocs()
	for b.Loop() {
		for i, doc := range docs {
			def, err := Parse(doc)
			if err != nil {
				b.Fatal(err)
			}
			defs[i] = def
		}
	}
}
