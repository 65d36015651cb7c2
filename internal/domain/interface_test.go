package domain_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/netswitch"
)

func (g *fakeGuest) AttachInterface(_ context.Context, def *domxml.Definition, n domxml.Interface) error {
	if _, err := def.ByAlias(n.Alias); err != nil {
		return err
	}
	return g.ask(fmt.Sprintf("attach %s to %s as %s", n.Alias, n.Source, n.Target))
}

func (g *fakeGuest) DetachInterface(_ context.Context, n domxml.Interface) error {
	return g.ask(fmt.Sprintf("detach %s from %s", n.Alias, n.Source))
}

func (g *fakeGuest) UpdateInterface(_ context.Context, was, next domxml.Interface) error {
	return g.ask(fmt.Sprintf("update %s from %s to %s", was.Alias, was.Source, next.Source))
}

func (m *fakeMachine) InterfaceStats(_ context.Context, def *domxml.Definition) (map[string]netswitch.Counters, error) {
	return map[string]netswitch.Counters{def.Interfaces[0].Alias: {RxBytes: 7}}, nil
}

func (m *fakeMachine) InterfaceAddresses(context.Context, *domxml.Definition, domain.AddressSource) (map[string][]domain.Address, error) {
	return map[string][]domain.Address{"net0": {{}}}, nil
}

// last is what the guest was asked last.
func (g *fakeGuest) last() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.asked) == 0 {
		return ""
	}
	return g.asked[len(g.asked)-1]
}

func device(t *testing.T, inner string) *domxml.Device {
	t.Helper()
	dev, err := domxml.ParseDevice([]byte("<interface type='network'>" + inner + "</interface>"))
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

const (
	mac       = "<mac address='52:54:00:00:00:01'/>"
	onlyLive  = "live"
	onlySaved = "config"
	both      = "both"
)

func sides(name string) domain.Target {
	return domain.Target{Live: name != onlySaved, Config: name != onlyLive}
}

func TestDeviceOnEachSide(t *testing.T) {
	for _, side := range []string{onlyLive, onlySaved, both} {
		t.Run(side, func(t *testing.T) {
			b := newBench(t)
			d := b.define("a")
			guest := b.start(d)
			ctx, target := t.Context(), sides(side)
			dev := device(t, mac+"<source network='one'/>")

			if err := d.AttachDevice(ctx, dev, target); err != nil {
				t.Fatal(err)
			}
			if target.Live {
				b.expect("added net0")
				if got := guest.last(); got != "attach net0 to one as vnet0" {
					t.Errorf("the guest was asked to %q", got)
				}
			}
			b.quiet()
			checkSides(t, d, target, "one")
			if saved := b.again().reload(t, d.View().UUID); (saved.Config.Interfaces != nil) != target.Config {
				t.Errorf("kept: %+v", saved.Config.Interfaces)
			}
		})
	}
}

// reload is the domain as this daemon knows it.
func (b *bench) reload(t *testing.T, id uuid.UUID) *domain.View {
	t.Helper()
	d, err := b.ByUUID(id, "")
	if err != nil {
		t.Fatal(err)
	}
	return d.View()
}

// checkSides checks which sides have the one interface, and to what it goes.
func checkSides(t *testing.T, d *domain.Domain, target domain.Target, source string) {
	t.Helper()
	v := d.View()
	for _, side := range []struct {
		name string
		def  *domxml.Definition
		has  bool
	}{{"live", v.Live, target.Live}, {"config", v.Config, target.Config}} {
		switch {
		case !side.has && len(side.def.Interfaces) != 0:
			t.Errorf("the %s side has %+v", side.name, side.def.Interfaces)
		case side.has && (len(side.def.Interfaces) != 1 || side.def.Interfaces[0].Source != source):
			t.Errorf("the %s side has %+v, want one to %s", side.name, side.def.Interfaces, source)
		}
	}
	if has := strings.Contains(v.LiveXML.Secure, "<source network='"+source+"' portid='"); has != target.Live {
		t.Errorf("the live document:\n%s", v.LiveXML.Secure)
	}
}

func TestDeviceLife(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	guest := b.start(d)
	ctx, target := t.Context(), sides(both)
	if err := d.AttachDevice(ctx, device(t, mac+"<source network='one'/>"), target); err != nil {
		t.Fatal(err)
	}
	b.expect("added net0")

	if err := d.UpdateDevice(ctx, device(t, mac+"<source network='two'/>"), target); err != nil {
		t.Fatal(err)
	}
	if got := guest.last(); got != "update net0 from one to two" {
		t.Errorf("the guest was asked to %q", got)
	}
	checkSides(t, d, target, "two")

	if err := d.SetBandwidth(ctx, "vnet0", &domxml.Bandwidth{Average: 5}, nil, sides(onlyLive)); err != nil {
		t.Fatal(err)
	}
	if v := d.View(); v.Live.Interfaces[0].Inbound.Average != 5 || v.Config.Interfaces[0].Inbound.Average != 0 {
		t.Errorf("live %+v, config %+v", v.Live.Interfaces, v.Config.Interfaces)
	}

	for _, source := range []domain.AddressSource{domain.AddressLeases, domain.AddressARP} {
		if all, err := d.InterfaceAddresses(ctx, source); err != nil || len(all["net0"]) != 1 {
			t.Errorf("addresses %v, %v", all, err)
		}
	}
	if all, err := d.InterfaceStats(ctx); err != nil || all["net0"].RxBytes != 7 {
		t.Errorf("counters %v, %v", all, err)
	}

	find := func(def *domxml.Definition) (domxml.Interface, error) { return def.ByAlias("net0") }
	if err := d.DetachDevice(ctx, find, target); err != nil {
		t.Fatal(err)
	}
	b.expect("removed net0")
	if got := guest.last(); got != "detach net0 from two" {
		t.Errorf("the guest was asked to %q", got)
	}
	checkSides(t, d, domain.Target{}, "two")
	wantCode(t, d.DetachDevice(ctx, find, target), libvirt.ErrDeviceMissing, "net0")
}

// TestDeviceUpdateRefuses checks what cannot change while the guest runs, and
// that nothing has changed then.
func TestDeviceUpdateRefuses(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	b.start(d)
	ctx, target := t.Context(), sides(both)
	if err := d.AttachDevice(ctx, device(t, mac+"<source network='one'/>"), target); err != nil {
		t.Fatal(err)
	}
	b.expect("added net0")
	for _, inner := range []string{
		"<source network='two'/><mtu size='1400'/>", "<source network='two'/><model type='virtio'/>", "<source network='two'/><target dev='web'/>",
	} {
		wantCode(t, d.UpdateDevice(ctx, device(t, mac+inner), target), libvirt.ErrOperationUnsupported, "cannot modify")
		checkSides(t, d, target, "one")
	}
	// Without a guest, all of it can.
	if err := d.UpdateDevice(ctx, device(t, mac+"<source network='two'/><mtu size='1400'/>"), sides(onlySaved)); err != nil {
		t.Error(err)
	}
}

// TestDeviceFails checks that a guest which refuses keeps both sides.
func TestDeviceFails(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	guest := b.start(d)
	guest.fail = errors.New("is up")
	dev := device(t, mac+"<source network='one'/>")
	if err := d.AttachDevice(t.Context(), dev, sides(both)); err == nil || !strings.Contains(err.Error(), "is up") {
		t.Errorf("got %v", err)
	}
	checkSides(t, d, domain.Target{}, "one")
	b.quiet()
}

// TestInterfaceNames checks that guests' names on the host differ, over
// restarts of the daemon too, and that the config has none.
func TestInterfaceNames(t *testing.T) {
	b := newBench(t)
	var names []string
	for _, name := range []string{"a", "b"} {
		d := b.define(name)
		if err := d.AttachDevice(t.Context(), device(t, "<source network='n'/>"), sides(onlySaved)); err != nil {
			t.Fatal(err)
		}
		b.start(d)
		v := d.View()
		names = append(names, v.Live.Interfaces[0].Target)
		if v.Config.Interfaces[0].Target != "" || strings.Contains(v.XML(true, true), "vnet") {
			t.Errorf("the config names the running guest's interface:\n%s", v.XML(true, true))
		}
	}
	b = b.again()
	for _, v := range b.Views() {
		if got := v.Live.Interfaces[0]; !slices.Contains(names, got.Target) || got.PortID == "" {
			t.Errorf("after a restart of the daemon: %+v, want one of %q", got, names)
		}
	}
	d := b.define("c")
	if err := d.AttachDevice(t.Context(), device(t, "<source network='n'/>"), sides(onlySaved)); err != nil {
		t.Fatal(err)
	}
	b.start(d)
	if got := d.View().Live.Interfaces[0].Target; slices.Contains(names, got) {
		t.Errorf("'%s' is given twice", got)
	}
}

// TestDeviceTakenBack checks that the guest is as before when its config could
// not be kept.
func TestDeviceTakenBack(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	guest := b.start(d)
	ctx := t.Context()
	if err := d.AttachDevice(ctx, device(t, mac+"<source network='one'/>"), sides(both)); err != nil {
		t.Fatal(err)
	}
	b.expect("added net0")
	if err := os.RemoveAll(b.config); err != nil {
		t.Fatal(err)
	}
	find := func(def *domxml.Definition) (domxml.Interface, error) { return def.ByAlias("net0") }
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return d.AttachDevice(ctx, device(t, "<source network='two'/>"), sides(both)) }, "detach net1 from two"},
		{func() error { return d.UpdateDevice(ctx, device(t, mac+"<source network='two'/>"), sides(both)) }, "update net0 from two to one"},
		{func() error { return d.DetachDevice(ctx, find, sides(both)) }, "attach net0 to one as vnet0"},
	} {
		if err := step.do(); err == nil {
			t.Error("no error without a folder for the config")
		}
		if got := guest.last(); got != step.want {
			t.Errorf("the guest was asked at last to %q, want %q", got, step.want)
		}
		checkSides(t, d, sides(both), "one")
		b.quiet()
	}
}
