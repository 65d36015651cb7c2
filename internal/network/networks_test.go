package network_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/network"
	"virtumld/internal/usernet"
)

func TestLifeOfANetwork(t *testing.T) {
	i, ctx := open(t), t.Context()
	view := i.define("n", nat("10.1.0"))
	spec := view.Spec
	if view.Active || !view.Persistent || view.Autostart || !strings.HasPrefix(view.Bridge, "virbr") {
		t.Errorf("view of a defined network: %+v", view)
	}
	refused(t, i.Destroy(ctx, spec), libvirt.ErrOperationInvalid, "network 'n' is not active")
	_, err := i.Join(ctx, "n", "")
	refused(t, err, libvirt.ErrOperationInvalid, "network 'n' is not active")

	must(t, i.SetAutostart(ctx, spec, true))
	must(t, i.Start(ctx, spec))
	refused(t, i.Start(ctx, spec), libvirt.ErrOperationInvalid, "network is already active")
	p := i.host.one(t)
	if p.Gateway == nil || !p.Gateway.NAT || p.Gateway.MAC == "" || p.Gateway.MTU != 1500 || len(p.Gateway.Subnets) != 1 || p.Gateway.DNS.LocalOnly {
		t.Errorf("the process's gateway: %+v", p.Gateway)
	}
	joint, err := i.Join(ctx, "n", "")
	must(t, err)
	equal(t, "folder", joint.Dir, p.Dir)
	view, err = i.Find(spec)
	must(t, err)
	if !view.Active || !view.Persistent || !view.Autostart {
		t.Errorf("view of an active network: %+v", view)
	}

	must(t, i.Destroy(ctx, spec))
	equal(t, "processes", len(i.host.running), 0)
	must(t, i.Undefine(ctx, spec))
	equal(t, "events", i.told(), "n defined, n started, n stopped, n undefined")
	_, err = i.Find(spec)
	refused(t, err, libvirt.ErrNoNetwork, "no network with matching uuid '"+spec.UUID.String()+"' (n)")
	_, err = i.Find(network.Spec{Name: "n"})
	refused(t, err, libvirt.ErrNoNetwork, "no network with matching name 'n'")
	_, err = i.Join(ctx, "n", "")
	refused(t, err, libvirt.ErrNoNetwork, "no network with matching name 'n'")
	equal(t, "files", entries(t, filepath.Join(i.dir, "config"))+entries(t, filepath.Join(i.dir, "config/autostart"))+entries(t, filepath.Join(i.dir, "state")), "autostart")
}

func TestClashes(t *testing.T) {
	i, ctx := open(t), t.Context()
	first := i.define("first", "<bridge name='lab0'/>"+nat("10.1.0"))
	id := first.UUID.String()
	for _, test := range []struct {
		name, document string
		code           libvirt.ErrorNumber
		text           string
	}{
		{"name", document("first", ""), libvirt.ErrOperationFailed, "network 'first' already exists with uuid " + id},
		{"uuid", document("second", "<uuid>"+id+"</uuid>"), libvirt.ErrOperationFailed, "network 'first' is already defined with uuid " + id},
		{"bridge", document("second", "<bridge name='lab0'/>"), libvirt.ErrInternalError, "bridge name 'lab0' already in use."},
		{"route", document("second", "<forward mode='route'/><ip address='10.9.0.1' prefix='24'/>"), libvirt.ErrConfigUnsupported, "forward mode 'route' is not available"},
		{"nothing", "", libvirt.ErrXMLDetail, "Document is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := i.Define(ctx, test.document, false)
			refused(t, err, test.code, test.text)
			_, err = i.Create(ctx, test.document, false)
			refused(t, err, test.code, test.text)
		})
	}
	equal(t, "number of networks", len(i.List()), 1)

	// The same addresses may be defined, but not active, twice.
	second := i.define("second", nat("10.1.0"))
	must(t, i.Start(ctx, first.Spec))
	refused(t, i.Start(ctx, second.Spec), libvirt.ErrInternalError, "Network is already in use by interface lab0")
	must(t, i.Destroy(ctx, first.Spec))
	must(t, i.Start(ctx, second.Spec))
	if first.Bridge == second.Bridge {
		t.Errorf("two networks have the bridge %s", first.Bridge)
	}
}

// Of many networks with the same addresses that are started at once, one
// becomes active.
func TestClashOfStarts(t *testing.T) {
	i, ctx := open(t), t.Context()
	var specs []network.Spec
	for _, name := range []string{"a", "b", "c", "d"} {
		specs = append(specs, i.define(name, nat("10.1.0")).Spec)
	}
	var group sync.WaitGroup
	errs := make([]error, len(specs))
	for k, spec := range specs {
		group.Go(func() { errs[k] = i.Start(ctx, spec) })
	}
	group.Wait()
	started := 0
	for _, err := range errs {
		if err == nil {
			started++
		}
	}
	equal(t, "active networks", started, 1)
	i.host.one(t)
}

func TestTransientNetwork(t *testing.T) {
	i, ctx := open(t), t.Context()
	doc := document("n", "<uuid>"+uuid.NewString()+"</uuid>"+nat("10.1.0"))
	view, err := i.Create(ctx, doc, false)
	must(t, err)
	if !view.Active || view.Persistent {
		t.Errorf("view: %+v", view)
	}
	_, err = i.Create(ctx, doc, false)
	refused(t, err, libvirt.ErrOperationInvalid, "network is already active as 'n'")
	refused(t, i.SetAutostart(ctx, view.Spec, true), libvirt.ErrOperationInvalid, "cannot set autostart for transient network")
	refused(t, i.Undefine(ctx, view.Spec), libvirt.ErrOperationInvalid, "can't undefine transient network")
	err = i.Update(ctx, view.Spec, libvirt.NetworkUpdateCommandAddLast, libvirt.NetworkSectionDNSTxt, -1, "<txt name='a' value='b'/>", network.Target{Config: true})
	refused(t, err, libvirt.ErrOperationInvalid, "cannot change persistent config of a transient network")
	i.reopen()
	must(t, i.Destroy(ctx, view.Spec))
	equal(t, "events", i.told(), "n started, n stopped")
	equal(t, "number of networks", len(i.List()), 0)
}

// A network whose process does not start leaves no trace.
func TestStartFails(t *testing.T) {
	i, ctx := open(t), t.Context()
	broken := errors.New("no process today")
	i.host.setRefuse(broken)
	if _, err := i.Create(ctx, document("n", nat("10.1.0")), false); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	equal(t, "number of networks", len(i.List()), 0)
	spec := i.define("m", nat("10.1.0")).Spec
	if err := i.Start(ctx, spec); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	equal(t, "state", entries(t, filepath.Join(i.dir, "state")), "")
	i.host.setRefuse(nil)
	must(t, i.Start(ctx, spec))
}

func TestRedefineActiveNetwork(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.define("n", nat("10.1.0")).Spec
	must(t, i.Start(ctx, spec))
	id := "<uuid>" + spec.UUID.String() + "</uuid>"
	i.define("n", id+nat("10.2.0"))
	live, err := i.XML(spec, false)
	must(t, err)
	config, err := i.XML(spec, true)
	must(t, err)
	if !strings.Contains(live, "10.1.0.1") || !strings.Contains(config, "10.2.0.1") {
		t.Errorf("live:\n%s\nconfig:\n%s", live, config)
	}
	must(t, i.Undefine(ctx, spec))
	view, err := i.Find(spec)
	must(t, err)
	if !view.Active || view.Persistent {
		t.Errorf("an undefined active network: %+v", view)
	}
}

func TestRestart(t *testing.T) {
	i, ctx := open(t), t.Context()
	kept, died, stopped := i.define("kept", nat("10.1.0")).Spec, i.define("died", nat("10.2.0")).Spec, i.define("stopped", nat("10.3.0")).Spec
	must(t, i.SetAutostart(ctx, stopped, true))
	for _, spec := range []network.Spec{kept, died} {
		must(t, i.Start(ctx, spec))
	}
	must(t, i.Close())
	diedDir := filepath.Join(i.dir, "state", died.UUID.String())
	found, err := i.host.Find(ctx, diedDir)
	must(t, err)
	must(t, found.Stop(ctx))
	i.Networks = nil
	i.reopen()
	i.host.await(t, func() bool { return i.host.running[diedDir] != nil })
	equal(t, "starts", i.host.starts, 3)
	var text []string
	for _, v := range i.List() {
		if v.Active {
			text = append(text, v.Name)
		}
	}
	equal(t, "active networks", strings.Join(text, " "), "died kept")
	must(t, i.Autostart(ctx))
	must(t, i.Destroy(ctx, stopped))
	must(t, i.Destroy(ctx, kept))
	must(t, i.Destroy(ctx, died))
	equal(t, "processes", len(i.host.running), 0)
}

func TestProcessIsStartedAgain(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.define("n", nat("10.1.0")).Spec
	must(t, i.Start(ctx, spec))
	before := i.host.one(t)
	i.host.kill()
	i.host.await(t, func() bool { return len(i.host.running) == 1 })
	after := i.host.one(t)
	equal(t, "folder", after.Dir, before.Dir)
	equal(t, "leases", after.Gateway.LeaseFile, before.Gateway.LeaseFile)
	view, err := i.Find(spec)
	must(t, err)
	equal(t, "active", view.Active, true)

	// One that cannot be started is tried again, and can be destroyed.
	i.host.setRefuse(errors.New("not now"))
	tried := i.host.starts
	i.host.kill()
	i.host.await(t, func() bool { return i.host.starts > tried })
	leases, err := i.Leases(ctx, spec, "")
	must(t, err)
	equal(t, "leases without a process", len(leases), 0)
	must(t, i.Destroy(ctx, spec))
	i.host.setRefuse(nil)
	must(t, i.Start(ctx, spec))
	equal(t, "events", i.told(), "n defined, n started, n stopped, n started")
}

// A process that a killed daemon has left of a network which is inactive for
// the next one gives way.
func TestProcessLeftOver(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.define("n", nat("10.1.0")).Spec
	must(t, i.Start(ctx, spec))
	must(t, i.Close())
	must(t, os.Remove(filepath.Join(i.dir, "state", "n.xml")))
	i.Networks = nil
	i.reopen()
	must(t, i.Start(ctx, spec))
	equal(t, "starts", i.host.starts, 2)
	i.host.one(t)
}

func TestDefaultNetwork(t *testing.T) {
	i, ctx := open(t), t.Context()
	i.noDefault = false
	i.reopen()
	view, err := i.Find(network.Spec{Name: "default"})
	must(t, err)
	if view.Active || !view.Persistent || !view.Autostart {
		t.Errorf("view: %+v", view)
	}
	must(t, i.Autostart(ctx))
	p := i.host.one(t)
	equal(t, "gateway", p.Gateway.Subnets[0].Gateway.String(), "192.168.122.1/24")
	i.reopen()
	must(t, i.Destroy(ctx, view.Spec))
	must(t, i.Undefine(ctx, view.Spec))
	i.reopen()
	equal(t, "networks once the user has removed it", len(i.List()), 0)
}

// What was interrupted when "default" was made is finished.
func TestDefaultNetworkInterrupted(t *testing.T) {
	i := open(t)
	i.define("default", nat("192.168.122"))
	i.noDefault = false
	i.reopen()
	view, err := i.Find(network.Spec{Name: "default"})
	must(t, err)
	equal(t, "autostart", view.Autostart, true)
	equal(t, "number of networks", len(i.List()), 1)
}

func TestUpdate(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.define("n", nat("10.1.0")).Spec
	host := func(mac, ip string) string { return "<host mac='" + mac + "' ip='" + ip + "'/>" }
	add := func(doc string, target network.Target) error {
		return i.Update(ctx, spec, libvirt.NetworkUpdateCommandAddLast, libvirt.NetworkSectionIPDhcpHost, -1, doc, target)
	}
	refused(t, add(host("52:54:00:00:00:01", "10.1.0.9"), network.Target{Live: true}), libvirt.ErrOperationInvalid, "network is not running")
	must(t, add(host("52:54:00:00:00:01", "10.1.0.9"), network.Target{}))
	must(t, i.Start(ctx, spec))
	equal(t, "hosts", len(i.host.one(t).Gateway.Subnets[0].DHCP.Hosts), 1)
	must(t, add(host("52:54:00:00:00:02", "10.1.0.10"), network.Target{}))
	equal(t, "hosts live", len(i.host.one(t).Gateway.Subnets[0].DHCP.Hosts), 2)
	must(t, add(host("52:54:00:00:00:03", "10.1.0.11"), network.Target{Live: true, Config: true}))
	refused(t, add(host("52:54:00:00:00:02", "10.1.0.12"), network.Target{Live: true, Config: true}), libvirt.ErrOperationInvalid, "there is an existing dhcp host entry")
	refused(t, add(host("52:54:00:00:00:05", "10.7.0.12"), network.Target{Config: true}), libvirt.ErrConfigUnsupported, "is not within 10.1.0.0/24")

	i.host.setRefuse(errors.New("not now"))
	if err := add(host("52:54:00:00:00:04", "10.1.0.13"), network.Target{Live: true, Config: true}); err == nil {
		t.Error("an update that the process has refused succeeds")
	}
	i.host.setRefuse(nil)
	for range 2 {
		live, err := i.XML(spec, false)
		must(t, err)
		config, err := i.XML(spec, true)
		must(t, err)
		equal(t, "hosts in the live document", strings.Count(live, "<host "), 3)
		equal(t, "hosts in the config", strings.Count(config, "<host "), 2)
		i.reopen() // and they are the same for the next daemon
	}
}

func TestMetadata(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.define("n", nat("10.1.0")).Spec
	must(t, i.Start(ctx, spec))
	i.told()
	_, err := i.Metadata(spec, 1, "", network.Target{})
	refused(t, err, libvirt.ErrNoNetworkMetadata, "Requested metadata element is not present")
	title, element := "A title", `<tag a="1"/>`
	must(t, i.SetMetadata(ctx, spec, 1, &title, "", "", network.Target{Config: true, Live: true}))
	must(t, i.SetMetadata(ctx, spec, 2, &element, "k", "urn:x", network.Target{}))
	got, err := i.Metadata(spec, 2, "urn:x", network.Target{})
	must(t, err)
	equal(t, "element", got, element)
	_, err = i.Metadata(spec, 2, "urn:x", network.Target{Config: true})
	refused(t, err, libvirt.ErrNoNetworkMetadata, "not present")
	must(t, i.SetMetadata(ctx, spec, 1, nil, "", "", network.Target{Config: true}))
	equal(t, "events", i.told(), "n metadata 1 , n metadata 2 urn:x, n metadata 1 ")
	must(t, i.Destroy(ctx, spec))
	_, err = i.Metadata(spec, 1, "", network.Target{Live: true})
	refused(t, err, libvirt.ErrOperationInvalid, "network is not running")
	_, err = i.Metadata(spec, 1, "", network.Target{})
	refused(t, err, libvirt.ErrNoNetworkMetadata, "not present")
}

func TestLeasesAndPorts(t *testing.T) {
	i, ctx := open(t), t.Context()
	view := i.define("n", nat("10.1.0"))
	spec := view.Spec
	id := uuid.New()
	i.host.state = netd.State{
		Leases: []usernet.Lease{{MAC: "52:54:00:00:00:01"}, {MAC: "52:54:00:00:00:02"}},
		Ports:  []netd.PortState{{Port: netd.Port{ID: id.String()}}, {Port: netd.Port{ID: "vec0"}}},
	}
	leases, err := i.Leases(ctx, spec, "")
	must(t, err)
	equal(t, "leases of an inactive network", len(leases), 0)
	must(t, i.Start(ctx, spec))
	leases, err = i.Leases(ctx, spec, "52:54:0:0:0:2")
	must(t, err)
	if len(leases) != 1 || leases[0].MAC != "52:54:00:00:00:02" || leases[0].Interface != view.Bridge {
		t.Errorf("leases %+v", leases)
	}
	_, err = i.Leases(ctx, spec, "here")
	refused(t, err, libvirt.ErrInvalidMac, "here")
	ports, err := i.Ports(ctx, spec)
	must(t, err)
	if len(ports) != 2 || ports[0].UUID != id || ports[1].UUID == uuid.Nil || ports[0].Network != spec {
		t.Errorf("ports %+v", ports)
	}
}

func TestJoin(t *testing.T) {
	i, ctx := open(t), t.Context()
	for name, content := range map[string]string{
		"isolated": `<mtu size='9000'/><port isolated='yes'/><vlan><tag id='7'/></vlan>
			<portgroup name='slow' default='yes'><bandwidth><inbound average='10' peak='20' burst='30'/><outbound average='40'/></bandwidth></portgroup>
			<portgroup name='trunk'><vlan><tag id='3' nativeMode='untagged'/><tag id='4'/></vlan></portgroup>`,
		"lan":    "<forward mode='bridge'/><bridge name='br0'/>",
		"direct": "<forward mode='passthrough' dev='eth0'/>",
	} {
		must(t, i.Start(ctx, i.define(name, content).Spec))
	}
	join := func(name, group string) network.Joint {
		t.Helper()
		j, err := i.Join(ctx, name, group)
		must(t, err)
		equal(t, "name", j.Network.Name, name)
		j.Network = network.Spec{}
		if (j.Dir == "") != (name != "isolated") {
			t.Errorf("folder of %s: %q", name, j.Dir)
		}
		j.Dir = ""
		return j
	}
	plain := network.Joint{MTU: 9000, Isolated: true, VLAN: 7}
	slow, trunk := plain, plain
	slow.Portgroup, slow.Out, slow.In = "slow", netswitch.Shape{Average: 10 << 10, Peak: 20 << 10, Burst: 30 << 10}, netswitch.Shape{Average: 40 << 10}
	trunk.Portgroup, trunk.VLAN, trunk.Trunk, trunk.Tags = "trunk", 3, true, []uint16{4}
	equal(t, "the default group", join("isolated", ""), slow)
	equal(t, "a trunk", join("isolated", "trunk"), trunk)
	equal(t, "no such group", join("isolated", "other"), plain)
	equal(t, "a bridge", join("lan", ""), network.Joint{Bridge: "br0"})
	equal(t, "a device", join("direct", ""), network.Joint{Direct: "eth0", Mode: "passthru"})
	if p := i.host.one(t); p.Gateway != nil {
		t.Errorf("a network without addresses has a gateway: %+v", p.Gateway)
	}
	i.reopen()
	equal(t, "a bridge of the next daemon", join("lan", ""), network.Joint{Bridge: "br0"})
}

func TestHostileNames(t *testing.T) {
	i, ctx := open(t), t.Context()
	for _, name := range []string{"../up", "a/b", strings.Repeat("n", 252)} {
		if _, err := i.Define(ctx, document(name, ""), false); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	equal(t, "files", entries(t, filepath.Join(i.dir, "config")), "autostart")
	for _, name := range []string{"..", ".", "autostart", "ä &amp; b", strings.Repeat("n", 251)} {
		must(t, i.Start(ctx, i.define(name, "").Spec))
	}
	i.reopen()
	equal(t, "number of networks", len(i.List()), 5)
}

// Definitions that somebody has damaged do not keep the others from loading.
func TestDamagedFiles(t *testing.T) {
	i := open(t)
	spec := i.define("good", nat("10.1.0")).Spec
	for name, text := range map[string]string{"empty.xml": "", "other.xml": document("another", ""), "twin.xml": document("twin", "<uuid>"+spec.UUID.String()+"</uuid>")} {
		must(t, os.WriteFile(filepath.Join(i.dir, "config", name), []byte(text), 0o600))
	}
	i.reopen()
	equal(t, "number of networks", len(i.List()), 1)
	_, err := i.Find(spec)
	must(t, err)
}

// What somebody has written into a definition's file by hand is checked before
// it starts.
func TestHandmadeFiles(t *testing.T) {
	i, ctx := open(t), t.Context()
	for name, content := range map[string]string{
		"bare":  nat("10.1.0"),
		"route": "<forward mode='route'/><bridge name='b'/><ip address='10.2.0.1' prefix='24'/>",
		"fine":  "<bridge name='c'/>" + nat("10.3.0"),
	} {
		must(t, os.WriteFile(filepath.Join(i.dir, "config", name+".xml"), []byte(document(name, content)), 0o600))
	}
	i.reopen()
	refused(t, i.Start(ctx, network.Spec{Name: "bare"}), libvirt.ErrInternalError, "network 'bare' has no bridge name defined")
	refused(t, i.Start(ctx, network.Spec{Name: "route"}), libvirt.ErrConfigUnsupported, "forward mode 'route' is not available")
	must(t, i.Start(ctx, network.Spec{Name: "fine"}))
	if p := i.host.one(t); p.Gateway.MAC == "" {
		t.Error("the gateway has no address")
	}
}
