package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/netswitch"
	"virtumld/internal/paths"
	"virtumld/internal/proto"
	"virtumld/internal/store"
	"virtumld/internal/virerr"
)

// fakeMachine starts guests that do nothing.
type fakeMachine struct {
	domain.Machine
	stats     map[string]netswitch.Counters
	addresses map[string][]domain.Address
	err       error
	sysrq     []byte // the commands that guests were given
}

func (*fakeMachine) Check(context.Context, *domxml.Definition) error { return nil }

func (m *fakeMachine) Start(context.Context, *domxml.Definition, domain.StartOptions) (domain.Guest, error) {
	return &fakeGuest{events: make(chan domain.Event), machine: m}, nil
}

func (*fakeMachine) DiskInfo(_ context.Context, _ *domxml.Definition, name string) (domain.DiskInfo, error) {
	if name != "ubd0" {
		return domain.DiskInfo{}, errors.New("no such file")
	}
	return domain.DiskInfo{Capacity: 30, Allocation: 10, Physical: 20}, nil
}

func (m *fakeMachine) InterfaceStats(context.Context, *domxml.Definition) (map[string]netswitch.Counters, error) {
	return m.stats, m.err
}

func (m *fakeMachine) InterfaceAddresses(_ context.Context, _ *domxml.Definition, source domain.AddressSource) (map[string][]domain.Address, error) {
	if source == domain.AddressARP {
		return nil, m.err
	}
	return m.addresses, m.err
}

// fakeProc are the files of a fakeGuest's /proc.
var fakeProc = map[string]string{
	"meminfo":             "MemTotal: 1000 kB\nMemFree: 500 kB\nMemAvailable: 600 kB\nBuffers: 1 kB\nCached: 2 kB\n",
	"diskstats":           "98 0 ubda 1 0 2 3 5 0 6 7 0 0 0 0 0 0 0 8 9\n",
	"sys/kernel/hostname": "fake\n",
	"version":             "Linux version 6.1.0 (x) (y) #1 now\n",
	"loadavg":             "0.50 0.25 1.00 1/2 3\n",
	"timer_list":          "now at 5 nsecs\n clock 1:\n .offset: 7000000006 nsecs\n",
	"1/mountinfo": "1 0 98:0 / / rw - ext4 /dev/root rw\n2 1 0:9 / /proc rw - proc proc rw\n3 1 98:18 / /d rw - ext4 x rw\n" +
		"4 1 0:8 / /h rw - hostfs none rw\n5 1 98:9999 / /o rw - ext4 /dev/odd rw\n",
	"1/root/usr/lib/os-release":         "ID=fake\nPRETTY_NAME=\"A fake\"\n",
	"1/root/etc/timezone":               "Etc/UTC\n",
	"1/root/sys/class/net/vec0/address": "52:54:00:00:00:01\n",
	"vmstat":                            "pswpin 1\npswpout 2\npgfault 30\npgmajfault 4\n",
}

// fakeGuest lets everything be done to it.
type fakeGuest struct {
	domain.Guest
	events  chan domain.Event
	machine *fakeMachine
}

func (g *fakeGuest) Facts() domain.Facts { return domain.Facts{PID: 1, Kernel: "/k"} }
func (g *fakeGuest) Usage() domain.Usage { return domain.Usage{User: 70, System: 7, RSS: 5, CPU: 1} }
func (g *fakeGuest) Affinity() []int     { return []int{0, 2, 70} }
func (g *fakeGuest) Sysrq(_ context.Context, letter byte) error {
	g.machine.sysrq = append(g.machine.sysrq, letter)
	return nil
}
func (g *fakeGuest) Proc(_ context.Context, file string) (string, error) {
	text, found := fakeProc[file]
	if !found {
		return "", fmt.Errorf("%w: %s", domain.ErrNoFile, file)
	}
	return text, nil
}
func (g *fakeGuest) Events() <-chan domain.Event { return g.events }
func (g *fakeGuest) Detach()                     { close(g.events) }

func (g *fakeGuest) AttachInterface(context.Context, *domxml.Definition, domxml.Interface) error {
	return nil
}
func (g *fakeGuest) DetachInterface(context.Context, domxml.Interface) error { return nil }
func (g *fakeGuest) UpdateInterface(context.Context, domxml.Interface, domxml.Interface) error {
	return nil
}

const fakeDocument = `<domain type='uml'><name>%s</name><memory unit='KiB'>65536</memory><vcpu current='1'>2</vcpu>
<os><type>uml</type></os><devices>
<disk type='file'><source file='/root.img'/><target dev='ubd0'/></disk>
<disk type='volume'><source pool='p' volume='v'/><target dev='ubd1'/></disk>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='n'/>
<bandwidth><inbound average='100' burst='5'/></bandwidth></interface>
<interface type='user'><mac address='52:54:00:00:00:02'/></interface>
</devices></domain>`

// domainConn is a connection to a daemon with the running domain "on" and the
// inactive "off".
func domainConn(t *testing.T, notify Notifier) (c *Conn, machine *fakeMachine, on, off libvirt.Domain) {
	t.Helper()
	st, err := store.Open(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	machine, bus := &fakeMachine{}, &domain.Bus{}
	list := domain.NewList(st, machine, bus, log)
	t.Cleanup(func() {
		list.Close()
		_ = st.Close()
	})
	c = New(list, bus, nil, nil, HostView{}, paths.Paths{System: true}, log).NewConn(Peer{}, false, notify)
	define := func(name string) libvirt.Domain {
		ret, err := c.DomainDefineXML(t.Context(), &libvirt.DomainDefineXMLArgs{XML: fmt.Sprintf(fakeDocument, name)})
		if err != nil {
			t.Fatal(err)
		}
		return ret.Dom
	}
	on, off = define("on"), define("off")
	d, err := list.ByUUID(uuid.UUID(on.UUID), on.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), domain.RunOptions{}); err != nil {
		t.Fatal(err)
	}
	return c, machine, on, off
}

// document is a domain's document, live or inactive.
func document(t *testing.T, c *Conn, dom libvirt.Domain, flags libvirt.DomainXMLFlags) string {
	t.Helper()
	ret, err := c.DomainGetXMLDesc(t.Context(), &libvirt.DomainGetXMLDescArgs{Dom: dom, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return ret.XML
}

const newInterface = "<interface type='user'><mac address='52:54:00:00:00:03'/></interface>"

func TestAttachAndDetach(t *testing.T) {
	for _, tt := range []struct {
		name           string
		flags          uint32
		running        bool
		live, inactive bool
	}{
		{"current of a running domain", 0, true, true, false},
		{"live", 1, true, true, false},
		{"config", 2, true, false, true},
		{"both", 3, true, true, true},
		{"current of an inactive domain", 0, false, false, true},
		{"config of an inactive domain", 2, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, on, off := domainConn(t, nil)
			dom, ctx := off, t.Context()
			if tt.running {
				dom = on
			}
			has := func(flags libvirt.DomainXMLFlags) bool {
				return strings.Contains(document(t, c, dom, flags), "52:54:00:00:00:03")
			}
			err := c.DomainAttachDeviceFlags(ctx, &libvirt.DomainAttachDeviceFlagsArgs{Dom: dom, XML: newInterface, Flags: tt.flags})
			if err != nil {
				t.Fatal(err)
			}
			if live := has(0); tt.running && live != tt.live {
				t.Errorf("in the live document: %t", live)
			}
			if inactive := has(libvirt.DomainXMLInactive); inactive != tt.inactive {
				t.Errorf("in the inactive document: %t", inactive)
			}
			err = c.DomainDetachDeviceFlags(ctx, &libvirt.DomainDetachDeviceFlagsArgs{Dom: dom, XML: newInterface, Flags: tt.flags})
			if err != nil || has(0) || has(libvirt.DomainXMLInactive) {
				t.Errorf("after detach: %v\n%s", err, document(t, c, dom, 0))
			}
		})
	}
}

// TestAttachOldCalls checks the calls without flags, which are for the running
// guest, and what clients hear.
func TestAttachOldCalls(t *testing.T) {
	heard := &messages{}
	c, _, on, off := domainConn(t, heard)
	ctx := t.Context()
	for _, event := range []libvirt.DomainEventID{libvirt.DomainEventIDDeviceAdded, libvirt.DomainEventIDDeviceRemoved} {
		_, err := c.ConnectDomainEventCallbackRegisterAny(ctx, &libvirt.ConnectDomainEventCallbackRegisterAnyArgs{EventID: int32(event)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DomainAttachDevice(ctx, &libvirt.DomainAttachDeviceArgs{Dom: on, XML: newInterface}); err != nil {
		t.Fatal(err)
	}
	if err := c.DomainDetachDevice(ctx, &libvirt.DomainDetachDeviceArgs{Dom: on, XML: newInterface}); err != nil {
		t.Fatal(err)
	}
	if err := c.DomainDetachDeviceAlias(ctx, &libvirt.DomainDetachDeviceAliasArgs{Dom: on, Alias: "net1", Flags: 1}); err != nil {
		t.Fatal(err)
	}
	running := on
	running.ID = 1
	removed := func(alias string) string {
		return fmt.Sprintf("%d %+v", proto.DomainEventCallbackDeviceRemoved, &libvirt.DomainEventCallbackDeviceRemovedMsg{
			CallbackID: 2, Msg: libvirt.DomainEventDeviceRemovedMsg{Dom: running, DevAlias: alias},
		})
	}
	want := []string{
		fmt.Sprintf("%d %+v", proto.DomainEventCallbackDeviceAdded, &libvirt.DomainEventCallbackDeviceAddedMsg{CallbackID: 1, Dom: running, DevAlias: "net2"}),
		removed("net2"), removed("net1"),
	}
	if !slices.Equal(heard.got, want) {
		t.Errorf("heard %q, want %q", heard.got, want)
	}
	err := c.DomainAttachDevice(ctx, &libvirt.DomainAttachDeviceArgs{Dom: off, XML: newInterface})
	if !virerr.Is(err, libvirt.ErrOperationInvalid) {
		t.Errorf("attached to an inactive domain: %v", err)
	}
}

func TestUpdateDevice(t *testing.T) {
	c, _, on, _ := domainConn(t, nil)
	const changed = "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='n'/><link state='down'/></interface>"
	for _, flags := range []libvirt.DomainDeviceModifyFlags{libvirt.DomainDeviceModifyConfig, libvirt.DomainDeviceModifyForce} {
		err := c.DomainUpdateDeviceFlags(t.Context(), &libvirt.DomainUpdateDeviceFlagsArgs{Dom: on, XML: changed, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		live, inactive := document(t, c, on, 0), document(t, c, on, libvirt.DomainXMLInactive)
		const down = "<link state='down'/>"
		isLive := flags == libvirt.DomainDeviceModifyForce
		if strings.Contains(live, down) != isLive || !strings.Contains(inactive, down) {
			t.Errorf("flags %d: live\n%s\ninactive\n%s", flags, live, inactive)
		}
	}
}

func TestDeviceRefuses(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	ctx := t.Context()
	attach := func(dom libvirt.Domain, flags uint32, document string) func() error {
		return func() error {
			return c.DomainAttachDeviceFlags(ctx, &libvirt.DomainAttachDeviceFlagsArgs{Dom: dom, XML: document, Flags: flags})
		}
	}
	alias := func(alias string) func() error {
		return func() error {
			return c.DomainDetachDeviceAlias(ctx, &libvirt.DomainDetachDeviceAliasArgs{Dom: on, Alias: alias, Flags: 2})
		}
	}
	for _, tt := range []struct {
		text string
		code libvirt.ErrorNumber
		do   func() error
	}{
		{"unsupported flags (0x4) in function virDomainAttachDeviceFlags", libvirt.ErrInvalidArg, attach(on, 4, newInterface)},
		{"domain is not running", libvirt.ErrOperationInvalid, attach(off, 1, newInterface)},
		{"a <serial> of a User Mode Linux guest cannot be attached yet", libvirt.ErrOperationUnsupported, attach(on, 2, "<serial/>")},
		{"unknown device type 'zzz'", libvirt.ErrXMLError, attach(on, 2, "<zzz/>")},
		{"Document is empty", libvirt.ErrXMLDetail, attach(on, 2, "")},
		{"two interfaces have the mac address '52:54:00:00:00:01'", libvirt.ErrXMLError,
			attach(on, 2, "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>")},
		{"no domain with matching uuid", libvirt.ErrNoDomain, attach(libvirt.Domain{}, 2, newInterface)},
		{"no device found with alias 'net7'", libvirt.ErrDeviceMissing, alias("net7")},
		{"matching MAC address '52:54:00:00:00:03'", libvirt.ErrDeviceMissing, func() error {
			return c.DomainDetachDeviceFlags(ctx, &libvirt.DomainDetachDeviceFlagsArgs{Dom: on, XML: newInterface, Flags: 1})
		}},
		{"unsupported flags (0x8) in function virDomainUpdateDeviceFlags", libvirt.ErrInvalidArg, func() error {
			return c.DomainUpdateDeviceFlags(ctx, &libvirt.DomainUpdateDeviceFlagsArgs{Dom: on, XML: newInterface, Flags: 8})
		}},
		{"a <memballoon> of a User Mode Linux guest cannot be changed yet", libvirt.ErrOperationUnsupported, func() error {
			return c.DomainUpdateDeviceFlags(ctx, &libvirt.DomainUpdateDeviceFlagsArgs{Dom: on, XML: "<memballoon/>", Flags: 1})
		}},
	} {
		err := tt.do()
		if !virerr.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("got %v, want code %d and %q", err, tt.code, tt.text)
		}
	}
}

func TestInterfaceStats(t *testing.T) {
	c, machine, on, off := domainConn(t, nil)
	machine.stats = map[string]netswitch.Counters{"net0": {
		RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 5, TxPackets: 6, TxErrors: 7, TxDropped: 8,
	}}
	want := libvirt.DomainInterfaceStatsRet{RxBytes: 1, RxPackets: 2, RxErrs: 3, RxDrop: 4, TxBytes: 5, TxPackets: 6, TxErrs: 7, TxDrop: 8}
	for _, device := range []string{"vnet0", "52:54:00:00:00:01"} {
		got, err := c.DomainInterfaceStats(t.Context(), &libvirt.DomainInterfaceStatsArgs{Dom: on, Device: device})
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v", device, got, err)
		}
	}
	for _, tt := range []struct {
		dom    libvirt.Domain
		device string
		code   libvirt.ErrorNumber
	}{
		{on, "vnet9", libvirt.ErrInvalidArg}, {on, "", libvirt.ErrInvalidArg},
		{on, "vnet1", libvirt.ErrOperationFailed}, {off, "vnet0", libvirt.ErrOperationInvalid},
	} {
		if _, err := c.DomainInterfaceStats(t.Context(), &libvirt.DomainInterfaceStatsArgs{Dom: tt.dom, Device: tt.device}); !virerr.Is(err, tt.code) {
			t.Errorf("'%s': %v, want code %d", tt.device, err, tt.code)
		}
	}
}

func TestInterfaceAddresses(t *testing.T) {
	c, machine, on, off := domainConn(t, nil)
	machine.addresses = map[string][]domain.Address{"net1": {
		{Addr: netip.MustParseAddr("10.0.2.15"), Prefix: 24}, {Addr: netip.MustParseAddr("fd00::5"), Prefix: 64},
	}}
	get := func(dom libvirt.Domain, source uint32) ([]libvirt.DomainInterface, error) {
		ret, err := c.DomainInterfaceAddresses(t.Context(), &libvirt.DomainInterfaceAddressesArgs{Dom: dom, Source: source})
		if err != nil {
			return nil, err
		}
		return ret.Ifaces, nil
	}
	got, err := get(on, uint32(libvirt.DomainInterfaceAddressesSrcLease))
	want := "[{Name:vnet1 Hwaddr:[52:54:00:00:00:02] Addrs:[{Type:0 Addr:10.0.2.15 Prefix:24} {Type:1 Addr:fd00::5 Prefix:64}]}]"
	if err != nil || fmt.Sprintf("%+v", got) != want {
		t.Errorf("got %+v, %v\nwant %s", got, err, want)
	}
	if got, err := get(on, uint32(libvirt.DomainInterfaceAddressesSrcArp)); err != nil || len(got) != 0 {
		t.Errorf("arp: %+v, %v", got, err)
	}
	for _, tt := range []struct {
		dom    libvirt.Domain
		source uint32
		code   libvirt.ErrorNumber
	}{
		{on, uint32(libvirt.DomainInterfaceAddressesSrcAgent), libvirt.ErrArgumentUnsupported},
		{on, 9, libvirt.ErrArgumentUnsupported}, {off, 0, libvirt.ErrOperationInvalid},
	} {
		if _, err := get(tt.dom, tt.source); !virerr.Is(err, tt.code) {
			t.Errorf("source %d: %v, want code %d", tt.source, err, tt.code)
		}
	}
}

func TestInterfaceParameters(t *testing.T) {
	c, _, on, _ := domainConn(t, nil)
	ctx := t.Context()
	get := func(flags libvirt.DomainModificationImpact, device string, most int32) (*libvirt.DomainGetInterfaceParametersRet, error) {
		return c.DomainGetInterfaceParameters(ctx, &libvirt.DomainGetInterfaceParametersArgs{Dom: on, Device: device, Nparams: most, Flags: flags})
	}
	if count, err := get(0, "vnet0", 0); err != nil || count.Nparams != 7 || count.Params != nil {
		t.Errorf("count %+v, %v", count, err)
	}
	check := func(flags libvirt.DomainModificationImpact, want string) {
		t.Helper()
		got, err := get(flags, "52:54:00:00:00:01", 16)
		if err != nil || strings.Join(values(got.Params), " ") != want {
			t.Errorf("got %+v, %v\nwant %s", got, err, want)
		}
	}
	const before = "inbound.average=100 inbound.peak=0 inbound.burst=5 inbound.floor=0 outbound.average=0 outbound.peak=0 outbound.burst=0"
	check(4, before)
	set := func(flags uint32, list ...libvirt.TypedParam) error {
		return c.DomainSetInterfaceParameters(ctx, &libvirt.DomainSetInterfaceParametersArgs{
			Dom: on, Device: "52:54:00:00:00:01", Params: list, Flags: flags,
		})
	}
	kib := func(name string, value uint32) libvirt.TypedParam {
		return libvirt.TypedParam{Field: name, Value: *libvirt.NewTypedParamValueUint(value)}
	}
	if err := set(1, kib(outAverage, 7), kib(outPeak, 9)); err != nil {
		t.Fatal(err)
	}
	check(1, "inbound.average=100 inbound.peak=0 inbound.burst=5 inbound.floor=0 outbound.average=7 outbound.peak=9 outbound.burst=0")
	check(2, before)
	if err := set(3, kib(inAverage, 0)); err != nil {
		t.Fatal(err)
	}
	check(1, "inbound.average=0 inbound.peak=0 inbound.burst=0 inbound.floor=0 outbound.average=7 outbound.peak=9 outbound.burst=0")
	check(2, "inbound.average=0 inbound.peak=0 inbound.burst=0 inbound.floor=0 outbound.average=0 outbound.peak=0 outbound.burst=0")

	for _, tt := range []struct {
		text string
		code libvirt.ErrorNumber
		do   func() error
	}{
		{"'vnet7' is not a known interface", libvirt.ErrInvalidArg, func() error { _, err := get(0, "vnet7", 7); return err }},
		{"mutually exclusive", libvirt.ErrInvalidArg, func() error { _, err := get(3, "vnet0", 7); return err }},
		{"parameter 'zz' not supported", libvirt.ErrArgumentUnsupported, func() error { return set(1, kib("zz", 1)) }},
		{"occurs multiple times", libvirt.ErrInvalidArg, func() error { return set(1, kib(inPeak, 1), kib(inPeak, 1)) }},
		{"invalid type 'int' for parameter 'inbound.peak', expected 'uint'", libvirt.ErrInvalidArg, func() error {
			return set(1, libvirt.TypedParam{Field: inPeak, Value: *libvirt.NewTypedParamValueInt(1)})
		}},
	} {
		err := tt.do()
		if !virerr.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("got %v, want code %d and %q", err, tt.code, tt.text)
		}
	}
}

var lastUpdate = regexp.MustCompile(`last-update=[1-9]\d+`)

// TestDomainStats checks the groups of numbers of a running and an inactive
// domain.
func TestDomainStats(t *testing.T) {
	c, machine, on, off := domainConn(t, nil)
	machine.stats = map[string]netswitch.Counters{"net1": {RxBytes: 1, TxDropped: 8}}
	get := func(stats, flags uint32, doms ...libvirt.Domain) (map[string]string, error) {
		ret, err := c.ConnectGetAllDomainStats(t.Context(), &libvirt.ConnectGetAllDomainStatsArgs{Doms: doms, Stats: stats, Flags: flags})
		if err != nil {
			return nil, err
		}
		all := map[string]string{}
		for _, r := range ret.RetStats {
			all[r.Dom.Name] = lastUpdate.ReplaceAllString(strings.Join(values(r.Params), " "), "last-update=now")
		}
		return all, nil
	}
	const (
		counters = "block.0.rd.reqs=1 block.0.rd.bytes=1024 block.0.rd.times=3000000 block.0.wr.reqs=5 block.0.wr.bytes=3072 block.0.wr.times=7000000 block.0.fl.reqs=8 block.0.fl.times=9000000 "
		blocks   = "block.count=2 block.0.name=ubd0 block.0.path=/root.img block.0.allocation=10 block.0.capacity=30 block.0.physical=20 block.1.name=ubd1"
		memory   = "balloon.current=65536 balloon.maximum=65536"
	)
	for group, want := range map[libvirt.DomainStatsTypes]string{
		libvirt.DomainStatsState:    "state.state=1 state.reason=1",
		libvirt.DomainStatsCPUTotal: "cpu.time=77 cpu.user=70 cpu.system=7",
		libvirt.DomainStatsBalloon: memory + " balloon.swap_in=4 balloon.swap_out=8 balloon.major_fault=4 balloon.minor_fault=30" +
			" balloon.unused=500 balloon.available=1000 balloon.usable=600 balloon.last-update=now balloon.disk_caches=3 balloon.rss=5",
		libvirt.DomainStatsVCPU:      "vcpu.current=1 vcpu.maximum=2 vcpu.0.state=1 vcpu.0.time=77",
		libvirt.DomainStatsBlock:     strings.Replace(blocks, "block.0.alloc", counters+"block.0.alloc", 1),
		libvirt.DomainStatsPerf:      "",
		libvirt.DomainStatsInterface: "net.count=2 net.0.name=vnet0 net.1.name=vnet1 net.1.rx.bytes=1 net.1.rx.pkts=0 net.1.rx.errs=0 net.1.rx.drop=0 net.1.tx.bytes=0 net.1.tx.pkts=0 net.1.tx.errs=0 net.1.tx.drop=8",
	} {
		if got, err := get(uint32(group), 0, on); err != nil || len(got) != 1 || got["on"] != want {
			t.Errorf("group %d: %q, %v\nwant %q", group, got, err, want)
		}
	}
	all, err := get(0, 0)
	if want := "state.state=5 state.reason=0 " + memory + " vcpu.current=1 vcpu.maximum=2 " + blocks; err != nil || len(all) != 2 || all["off"] != want {
		t.Errorf("all: %q, %v\nwant %q", all, err, want)
	}
	for flags, want := range map[libvirt.ConnectGetAllDomainStatsFlags]string{
		libvirt.ConnectGetAllDomainsStatsActive: "on", libvirt.ConnectGetAllDomainsStatsShutoff: "off",
		libvirt.ConnectGetAllDomainsStatsTransient: "", libvirt.ConnectGetAllDomainsStatsRunning | libvirt.ConnectGetAllDomainsStatsNowait: "on",
	} {
		got, err := get(1, uint32(flags))
		if _, found := got[want]; err != nil || found != (want != "") || len(got) > 1 {
			t.Errorf("flags 0x%x: %q, %v", uint32(flags), got, err)
		}
	}
	if got, err := get(1, 0, libvirt.Domain{Name: "gone"}, off); err != nil || len(got) != 1 {
		t.Errorf("a domain that is gone: %q, %v", got, err)
	}
	_, err = get(uint32(libvirt.DomainStatsPerf|libvirt.DomainStatsState), statsEnforce, on)
	if !virerr.Is(err, libvirt.ErrArgumentUnsupported) || !strings.Contains(err.Error(), "bits 0x40") {
		t.Errorf("got %v", err)
	}
	if _, err := get(0, 0x100); !virerr.Is(err, libvirt.ErrInvalidArg) {
		t.Errorf("got %v", err)
	}
}
