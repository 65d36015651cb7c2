package driver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/network"
	"virtumld/internal/paths"
	"virtumld/internal/proto"
	"virtumld/internal/usernet"
	"virtumld/internal/virerr"
)

// fakeNetworks has the networks that a test gives it and notes what is asked
// of it.
type fakeNetworks struct {
	network.Manager
	views  []network.View
	leases []network.Lease
	ports  []network.Port
	calls  []string
	tell   []func(network.Event)
}

func (f *fakeNetworks) note(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeNetworks) List() []network.View { return f.views }

func (f *fakeNetworks) Find(s network.Spec) (network.View, error) {
	for _, v := range f.views {
		if s.UUID == v.UUID || s.UUID == uuid.Nil && s.Name == v.Name {
			return v, nil
		}
	}
	return network.View{}, virerr.In(virerr.Network, libvirt.ErrNoNetwork, "%+v", s)
}

func (f *fakeNetworks) XML(s network.Spec, inactive bool) (string, error) {
	return fmt.Sprintf("<network>%s %t</network>", s.Name, inactive), nil
}

func (f *fakeNetworks) Define(_ context.Context, document string, validate bool) (network.View, error) {
	f.note("define %s validate=%t", document, validate)
	return f.views[0], nil
}

func (f *fakeNetworks) Create(_ context.Context, document string, validate bool) (network.View, error) {
	f.note("create %s validate=%t", document, validate)
	return f.views[0], nil
}

func (f *fakeNetworks) Start(_ context.Context, s network.Spec) error {
	f.note("start %s", s.Name)
	return nil
}

func (f *fakeNetworks) Destroy(_ context.Context, s network.Spec) error {
	f.note("destroy %s", s.Name)
	return nil
}

func (f *fakeNetworks) Undefine(_ context.Context, s network.Spec) error {
	f.note("undefine %s", s.Name)
	return nil
}

func (f *fakeNetworks) SetAutostart(_ context.Context, s network.Spec, on bool) error {
	f.note("autostart %s %t", s.Name, on)
	return nil
}

func (f *fakeNetworks) Update(_ context.Context, s network.Spec, c network.Command, section network.Section, index int, document string, t network.Target) error {
	f.note("update %s command=%d section=%d index=%d %s %+v", s.Name, c, section, index, document, t)
	return nil
}

func (f *fakeNetworks) Leases(_ context.Context, s network.Spec, mac string) ([]network.Lease, error) {
	f.note("leases %s %s", s.Name, mac)
	return f.leases, nil
}

func (f *fakeNetworks) Ports(context.Context, network.Spec) ([]network.Port, error) {
	return f.ports, nil
}

func (f *fakeNetworks) Metadata(s network.Spec, kind int32, uri string, t network.Target) (string, error) {
	return fmt.Sprintf("%s %d %s %+v", s.Name, kind, uri, t), nil
}

func (f *fakeNetworks) SetMetadata(_ context.Context, s network.Spec, kind int32, value *string, key, uri string, t network.Target) error {
	text := "none"
	if value != nil {
		text = *value
	}
	f.note("metadata %s %d %s %s %s %+v", s.Name, kind, text, key, uri, t)
	return nil
}

func (f *fakeNetworks) Subscribe(tell func(network.Event)) func() {
	f.tell = append(f.tell, tell)
	return func() { f.tell = nil }
}

func fakeNetwork(name string, active, persistent, autostart bool) network.View {
	return network.View{
		Spec:   network.Spec{Name: name, UUID: uuid.NewSHA1(uuid.Nil, []byte(name))},
		Active: active, Persistent: persistent, Autostart: autostart,
	}
}

var portID = uuid.MustParse("11111111-2222-3333-4444-555555555555")

// networkConn is a connection to a daemon with an active, an inactive and a
// transient network, the first with a bridge, a lease and a port.
func networkConn(t *testing.T, notify Notifier) (*Conn, *fakeNetworks) {
	t.Helper()
	f := &fakeNetworks{views: []network.View{
		fakeNetwork("active", true, true, true), fakeNetwork("off", false, true, false), fakeNetwork("transient", true, false, false),
	}}
	f.views[0].Bridge = "virbr0"
	f.leases = []network.Lease{
		{Interface: "virbr0", Lease: usernet.Lease{
			MAC: "52:54:00:00:00:01", Address: netip.MustParseAddr("192.168.122.5"), Prefix: 24, Hostname: "a", ClientID: "01:52", Expires: time.Unix(77, 0),
		}},
		{Interface: "virbr0", Lease: usernet.Lease{MAC: "52:54:00:00:00:01", Address: netip.MustParseAddr("fd00::5"), Prefix: 64, IAID: "3"}},
	}
	f.ports = []network.Port{{Network: f.views[0].Spec, UUID: portID, PortState: netd.PortState{Port: netd.Port{
		ID: portID.String(), Owner: "guest", OwnerUUID: "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", MAC: "52:54:00:00:00:01",
		PortConfig: netswitch.PortConfig{
			Isolated: true, VLAN: 7, In: netswitch.Shape{Average: 1024, Peak: 2048}, Out: netswitch.Shape{Average: 4096, Burst: 8192},
		},
	}}}}
	d := New(nil, nil, nil, f, HostView{}, paths.Paths{System: true}, slog.New(slog.DiscardHandler))
	return d.NewConn(Peer{}, false, notify), f
}

func TestListNetworks(t *testing.T) {
	c, _ := networkConn(t, nil)
	for _, tt := range []struct {
		flags libvirt.ConnectListAllNetworksFlags
		want  []string
	}{
		{0, []string{"active", "off", "transient"}},
		{networksActive, []string{"active", "transient"}},
		{networksInactive, []string{"off"}},
		{networksActive | networksInactive, []string{"active", "off", "transient"}},
		{networksPersistent, []string{"active", "off"}},
		{networksTransient, []string{"transient"}},
		{networksAutostart, []string{"active"}},
		{networksNoAutostart | networksPersistent, []string{"off"}},
		{networksInactive | networksTransient, nil},
	} {
		for _, need := range []int32{0, 1} {
			got, err := c.ConnectListAllNetworks(t.Context(), &libvirt.ConnectListAllNetworksArgs{NeedResults: need, Flags: tt.flags})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, n := range got.Nets {
				names = append(names, n.Name)
			}
			want := tt.want
			if need == 0 {
				want = nil
			}
			if int(got.Ret) != len(tt.want) || !slices.Equal(names, want) {
				t.Errorf("filters 0x%x, need_results %d: %d %q, want %q", tt.flags, need, got.Ret, names, want)
			}
		}
	}
	names, err := c.ConnectListNetworks(t.Context(), &libvirt.ConnectListNetworksArgs{Maxnames: 1})
	if err != nil || !slices.Equal(names.Names, []string{"active"}) {
		t.Errorf("one active network: %v, %v", names, err)
	}
	defined, err := c.ConnectListDefinedNetworks(t.Context(), &libvirt.ConnectListDefinedNetworksArgs{Maxnames: 9})
	if err != nil || !slices.Equal(defined.Names, []string{"off"}) {
		t.Errorf("inactive networks: %v, %v", defined, err)
	}
	active, err := c.ConnectNumOfNetworks(t.Context())
	if err != nil || active.Num != 2 {
		t.Errorf("active networks: %v, %v", active, err)
	}
	inactive, err := c.ConnectNumOfDefinedNetworks(t.Context())
	if err != nil || inactive.Num != 1 {
		t.Errorf("inactive networks: %v, %v", inactive, err)
	}
}

// TestNetworkCalls checks what each call asks of the networks.
func TestNetworkCalls(t *testing.T) {
	c, f := networkConn(t, nil)
	ctx := t.Context()
	n := networkObject(f.views[0].Spec)
	both := libvirt.NetworkUpdateAffectLive | libvirt.NetworkUpdateAffectConfig
	for _, tt := range []struct {
		want string
		do   func() error
	}{
		{"define x validate=false", func() error {
			_, err := c.NetworkDefineXML(ctx, &libvirt.NetworkDefineXMLArgs{XML: "x"})
			return err
		}},
		{"define x validate=true", func() error {
			_, err := c.NetworkDefineXMLFlags(ctx, &libvirt.NetworkDefineXMLFlagsArgs{XML: "x", Flags: 1})
			return err
		}},
		{"create x validate=false", func() error {
			_, err := c.NetworkCreateXML(ctx, &libvirt.NetworkCreateXMLArgs{XML: "x"})
			return err
		}},
		{"create x validate=true", func() error {
			_, err := c.NetworkCreateXMLFlags(ctx, &libvirt.NetworkCreateXMLFlagsArgs{XML: "x", Flags: 1})
			return err
		}},
		{"start active", func() error { return c.NetworkCreate(ctx, &libvirt.NetworkCreateArgs{Net: n}) }},
		{"destroy active", func() error { return c.NetworkDestroy(ctx, &libvirt.NetworkDestroyArgs{Net: n}) }},
		{"undefine active", func() error { return c.NetworkUndefine(ctx, &libvirt.NetworkUndefineArgs{Net: n}) }},
		{"autostart active true", func() error {
			return c.NetworkSetAutostart(ctx, &libvirt.NetworkSetAutostartArgs{Net: n, Autostart: 1})
		}},
		{"update active command=3 section=4 index=-1 <host/> {Live:true Config:true}", func() error {
			return c.NetworkUpdate(ctx, &libvirt.NetworkUpdateArgs{
				Net: n, Command: uint32(libvirt.NetworkUpdateCommandAddLast), Section: uint32(libvirt.NetworkSectionIPDhcpHost),
				ParentIndex: -1, XML: "<host/>", Flags: both,
			})
		}},
		{"metadata active 2 none k urn:x {Live:false Config:true}", func() error {
			return c.NetworkSetMetadata(ctx, &libvirt.NetworkSetMetadataArgs{
				OptNetwork: n, Type: 2, Key: libvirt.OptString{"k"}, Uri: libvirt.OptString{"urn:x"}, Flags: 2,
			})
		}},
		{"metadata active 1 title   {Live:false Config:false}", func() error {
			return c.NetworkSetMetadata(ctx, &libvirt.NetworkSetMetadataArgs{OptNetwork: n, Type: 1, Metadata: libvirt.OptString{"title"}})
		}},
		{"leases active 52:54:00:00:00:0a", func() error {
			_, err := c.NetworkGetDhcpLeases(ctx, &libvirt.NetworkGetDhcpLeasesArgs{Net: n, Mac: libvirt.OptString{"52:54:00:00:00:0A"}})
			return err
		}},
	} {
		f.calls = nil
		if err := tt.do(); err != nil || !slices.Equal(f.calls, []string{tt.want}) {
			t.Errorf("asked for %q, error %v; want %q", f.calls, err, tt.want)
		}
	}
}

func TestNetworkFacts(t *testing.T) {
	c, f := networkConn(t, nil)
	ctx := t.Context()
	for i, v := range f.views {
		byName, err := c.NetworkLookupByName(ctx, &libvirt.NetworkLookupByNameArgs{Name: v.Name})
		if err != nil || byName.Net != networkObject(v.Spec) {
			t.Errorf("%s by name: %v, %v", v.Name, byName, err)
		}
		byUUID, err := c.NetworkLookupByUUID(ctx, &libvirt.NetworkLookupByUUIDArgs{UUID: libvirt.UUID(v.UUID)})
		if err != nil || byUUID.Net != networkObject(v.Spec) {
			t.Errorf("%s by uuid: %v, %v", v.Name, byUUID, err)
		}
		n := networkObject(v.Spec)
		active, err1 := c.NetworkIsActive(ctx, &libvirt.NetworkIsActiveArgs{Net: n})
		persistent, err2 := c.NetworkIsPersistent(ctx, &libvirt.NetworkIsPersistentArgs{Net: n})
		autostart, err3 := c.NetworkGetAutostart(ctx, &libvirt.NetworkGetAutostartArgs{Net: n})
		if err1 != nil || err2 != nil || err3 != nil || active.Active != oneIf(v.Active) ||
			persistent.Persistent != oneIf(v.Persistent) || autostart.Autostart != oneIf(v.Autostart) {
			t.Errorf("%s: %v %v %v, %v %v %v", v.Name, active, persistent, autostart, err1, err2, err3)
		}
		bridge, err := c.NetworkGetBridgeName(ctx, &libvirt.NetworkGetBridgeNameArgs{Net: n})
		if i == 0 && (err != nil || bridge.Name != "virbr0") || i > 0 && !virerr.Is(err, libvirt.ErrInternalError) {
			t.Errorf("%s: bridge %v, %v", v.Name, bridge, err)
		}
	}
	n := networkObject(f.views[0].Spec)
	text, err := c.NetworkGetXMLDesc(ctx, &libvirt.NetworkGetXMLDescArgs{Net: n, Flags: uint32(libvirt.NetworkXMLInactive)})
	if err != nil || text.XML != "<network>active true</network>" {
		t.Errorf("document %v, %v", text, err)
	}
	metadata, err := c.NetworkGetMetadata(ctx, &libvirt.NetworkGetMetadataArgs{OptNetwork: n, Type: 2, Uri: libvirt.OptString{"urn:x"}, Flags: 1})
	if err != nil || metadata.Metadata != "active 2 urn:x {Live:true Config:false}" {
		t.Errorf("metadata %v, %v", metadata, err)
	}
}

func TestNetworkLeases(t *testing.T) {
	c, f := networkConn(t, nil)
	n := networkObject(f.views[0].Spec)
	got, err := c.NetworkGetDhcpLeases(t.Context(), &libvirt.NetworkGetDhcpLeasesArgs{Net: n, NeedResults: 1})
	if err != nil || got.Ret != 2 || len(got.Leases) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	four, six := got.Leases[0], got.Leases[1]
	if four.Iface != "virbr0" || four.Expirytime != 77 || four.Type != 0 || four.Mac[0] != "52:54:00:00:00:01" || four.Ipaddr != "192.168.122.5" ||
		four.Prefix != 24 || four.Hostname[0] != "a" || four.Clientid[0] != "01:52" || four.Iaid != nil {
		t.Errorf("got %+v", four)
	}
	if six.Type != 1 || six.Ipaddr != "fd00::5" || six.Prefix != 64 || six.Iaid[0] != "3" || six.Expirytime != 0 || six.Hostname != nil {
		t.Errorf("got %+v", six)
	}
}

func TestNetworkPorts(t *testing.T) {
	c, f := networkConn(t, nil)
	ctx, n := t.Context(), networkObject(f.views[0].Spec)
	list, err := c.NetworkListAllPorts(ctx, &libvirt.NetworkListAllPortsArgs{OptNetwork: n, NeedResults: 1})
	if err != nil || list.Ret != 1 || len(list.Ports) != 1 {
		t.Fatalf("got %+v, %v", list, err)
	}
	port := list.Ports[0]
	found, err := c.NetworkPortLookupByUUID(ctx, &libvirt.NetworkPortLookupByUUIDArgs{OptNetwork: n, UUID: libvirt.UUID(portID)})
	if err != nil || found.Port != port {
		t.Errorf("got %+v, %v", found, err)
	}
	text, err := c.NetworkPortGetXMLDesc(ctx, &libvirt.NetworkPortGetXMLDescArgs{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	const want = `<networkport>
  <uuid>11111111-2222-3333-4444-555555555555</uuid>
  <owner>
    <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
    <name>guest</name>
  </owner>
  <mac address='52:54:00:00:00:01'/>
  <bandwidth>
    <inbound average='4' burst='8'/>
    <outbound average='1' peak='2'/>
  </bandwidth>
  <vlan>
    <tag id='7'/>
  </vlan>
  <port isolated='yes'/>
  <plug type='network' bridge='virbr0'/>
</networkport>
`
	if text.XML != want {
		t.Errorf("got\n%s\nwant\n%s", text.XML, want)
	}
	got, err := c.NetworkPortGetParameters(ctx, &libvirt.NetworkPortGetParametersArgs{Port: port, Nparams: 16})
	if err != nil || fmt.Sprint(values(got.Params)) != "[inbound.average=4 inbound.peak=0 inbound.burst=8 inbound.floor=0 outbound.average=1 outbound.peak=2 outbound.burst=0]" {
		t.Errorf("got %v, %v", values(got.Params), err)
	}
}

// values writes parameters as "name=value".
func values(params []libvirt.TypedParam) []string {
	var list []string
	for _, p := range params {
		list = append(list, fmt.Sprintf("%s=%v", p.Field, p.Value.I))
	}
	return list
}

// TestNetworkRefuses checks codes and texts; the domain is the network API's.
func TestNetworkRefuses(t *testing.T) {
	c, f := networkConn(t, nil)
	ctx, n := t.Context(), networkObject(f.views[0].Spec)
	port := libvirt.NetworkPort{Net: n}
	for _, tt := range []struct {
		text string
		code libvirt.ErrorNumber
		do   func() error
	}{
		{"unsupported flags (0x40) in function virConnectListAllNetworks", libvirt.ErrInvalidArg, func() error {
			_, err := c.ConnectListAllNetworks(ctx, &libvirt.ConnectListAllNetworksArgs{Flags: 64})
			return err
		}},
		{"unsupported flags (0x2) in function virNetworkDefineXMLFlags", libvirt.ErrInvalidArg, func() error {
			_, err := c.NetworkDefineXMLFlags(ctx, &libvirt.NetworkDefineXMLFlagsArgs{Flags: 2})
			return err
		}},
		{"unsupported flags (0x2) in function virNetworkCreateXMLFlags", libvirt.ErrInvalidArg, func() error {
			_, err := c.NetworkCreateXMLFlags(ctx, &libvirt.NetworkCreateXMLFlagsArgs{Flags: 2})
			return err
		}},
		{"unsupported flags (0x2) in function virNetworkGetXMLDesc", libvirt.ErrInvalidArg, func() error {
			_, err := c.NetworkGetXMLDesc(ctx, &libvirt.NetworkGetXMLDescArgs{Net: n, Flags: 2})
			return err
		}},
		{"unsupported flags (0x4) in function virNetworkUpdate", libvirt.ErrInvalidArg, func() error {
			return c.NetworkUpdate(ctx, &libvirt.NetworkUpdateArgs{Net: n, Flags: 4})
		}},
		{"unsupported flags (0x4) in function virNetworkSetMetadata", libvirt.ErrInvalidArg, func() error {
			return c.NetworkSetMetadata(ctx, &libvirt.NetworkSetMetadataArgs{OptNetwork: n, Flags: 4})
		}},
		{"unsupported flags (0x1) in function virNetworkGetDHCPLeases", libvirt.ErrInvalidArg, func() error {
			_, err := c.NetworkGetDhcpLeases(ctx, &libvirt.NetworkGetDhcpLeasesArgs{Net: n, Flags: 1})
			return err
		}},
		{"invalid MAC address: zz", libvirt.ErrInvalidMac, func() error {
			_, err := c.NetworkGetDhcpLeases(ctx, &libvirt.NetworkGetDhcpLeasesArgs{Net: n, Mac: libvirt.OptString{"zz"}})
			return err
		}},
		{"", libvirt.ErrNoNetwork, func() error {
			_, err := c.NetworkLookupByName(ctx, &libvirt.NetworkLookupByNameArgs{Name: "none"})
			return err
		}},
		{"no network with matching uuid '00000000", libvirt.ErrNoNetwork, func() error {
			_, err := c.NetworkLookupByUUID(ctx, &libvirt.NetworkLookupByUUIDArgs{})
			return err
		}},
		{"network 'off' is not active", libvirt.ErrOperationInvalid, func() error {
			_, err := c.NetworkListAllPorts(ctx, &libvirt.NetworkListAllPortsArgs{OptNetwork: networkObject(f.views[1].Spec)})
			return err
		}},
		{"Network port with UUID 00000000-0000-0000-0000-000000000000 does not exist", libvirt.ErrNoNetworkPort, func() error {
			_, err := c.NetworkPortGetXMLDesc(ctx, &libvirt.NetworkPortGetXMLDescArgs{Port: port})
			return err
		}},
		{"ports come, change and go", libvirt.ErrOperationUnsupported, func() error {
			_, err := c.NetworkPortCreateXML(ctx, &libvirt.NetworkPortCreateXMLArgs{OptNetwork: n})
			return err
		}},
		{"ports come, change and go", libvirt.ErrOperationUnsupported, func() error {
			return c.NetworkPortDelete(ctx, &libvirt.NetworkPortDeleteArgs{Port: port})
		}},
		{"ports come, change and go", libvirt.ErrOperationUnsupported, func() error {
			return c.NetworkPortSetParameters(ctx, &libvirt.NetworkPortSetParametersArgs{Port: port})
		}},
	} {
		err := tt.do()
		if !virerr.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("got %v, want code %d and %q", err, tt.code, tt.text)
		}
	}
}

// messages notes what a client is sent.
type messages struct{ got []string }

func (m *messages) Notify(procedure int32, message any) {
	m.got = append(m.got, fmt.Sprintf("%d %+v", procedure, message))
}

func TestNetworkEvents(t *testing.T) {
	heard := &messages{}
	c, f := networkConn(t, heard)
	ctx := t.Context()
	register := func(event libvirt.NetworkEventID, only libvirt.OptNetwork) int32 {
		ret, err := c.ConnectNetworkEventRegisterAny(ctx, &libvirt.ConnectNetworkEventRegisterAnyArgs{EventID: int32(event), Net: only})
		if err != nil {
			t.Fatal(err)
		}
		return ret.CallbackID
	}
	all := register(libvirt.NetworkEventIDLifecycle, nil)
	one := register(libvirt.NetworkEventIDLifecycle, libvirt.OptNetwork{networkObject(f.views[1].Spec)})
	changes := register(libvirt.NetworkEventIDMetadataChange, nil)
	if len(f.tell) != 1 {
		t.Fatalf("%d subscriptions, want one", len(f.tell))
	}
	tell := f.tell[0]

	tell(network.Event{Network: f.views[0].Spec, Lifecycle: libvirt.NetworkEventStarted})
	n := networkObject(f.views[0].Spec)
	want := []string{fmt.Sprintf("%d %+v", proto.NetworkEventLifecycle, &libvirt.NetworkEventLifecycleMsg{CallbackID: all, Net: n, Event: 2})}
	if !slices.Equal(heard.got, want) {
		t.Errorf("heard %q, want %q", heard.got, want)
	}
	heard.got = nil
	tell(network.Event{Network: f.views[1].Spec, Lifecycle: libvirt.NetworkEventStopped})
	if len(heard.got) != 2 {
		t.Errorf("heard %q, want it twice", heard.got)
	}
	heard.got = nil
	tell(network.Event{Network: f.views[0].Spec, Metadata: true, Kind: 2, URI: "urn:x"})
	want = []string{fmt.Sprintf("%d %+v", proto.NetworkEventCallbackMetadataChange, &libvirt.NetworkEventCallbackMetadataChangeMsg{
		CallbackID: changes, Net: n, Type: 2, Nsuri: libvirt.OptString{"urn:x"},
	})}
	if !slices.Equal(heard.got, want) {
		t.Errorf("heard %q, want %q", heard.got, want)
	}

	for _, id := range []int32{all, one, changes} {
		if err := c.ConnectNetworkEventDeregisterAny(ctx, &libvirt.ConnectNetworkEventDeregisterAnyArgs{CallbackID: id}); err != nil {
			t.Error(err)
		}
	}
	err := c.ConnectNetworkEventDeregisterAny(ctx, &libvirt.ConnectNetworkEventDeregisterAnyArgs{CallbackID: one})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("network event callback %d not registered", one)) {
		t.Errorf("got %v", err)
	}
	_, err = c.ConnectNetworkEventRegisterAny(ctx, &libvirt.ConnectNetworkEventRegisterAnyArgs{EventID: 2})
	if err == nil || !strings.Contains(err.Error(), "unsupported network event ID 2") {
		t.Errorf("got %v", err)
	}
	heard.got = nil
	tell(network.Event{Network: f.views[1].Spec})
	if len(heard.got) != 0 {
		t.Errorf("heard %q after all callbacks were dropped", heard.got)
	}
	c.networkEvents.drop()
	if f.tell != nil {
		t.Error("the subscription goes on")
	}
}
