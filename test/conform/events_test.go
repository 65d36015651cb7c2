package conform

import (
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/testkit"
	"virtumld/internal/wire"
)

// A client of before callback ids gets lifecycle events by procedures 105 and
// 106, and any event by 167 and 168, without a callback id in the message.
func TestOldEvents(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		c := dial(t, d.Socket)
		c.open(0)
		expect := func(event libvirt.DomainEventType, detail int32) {
			t.Helper()
			p := c.message()
			if p.Procedure != proto.DomainEventLifecycle {
				t.Fatalf("message %d, want %d", p.Procedure, proto.DomainEventLifecycle)
			}
			var msg libvirt.DomainEventLifecycleMsg
			decode(t, p, &msg)
			if msg.Dom.Name != "vm" || msg.Event != int32(event) || msg.Detail != detail {
				t.Errorf("event %+v, want %d %d of vm", msg, event, detail)
			}
		}

		c.ok(proto.ConnectDomainEventRegister, nil, nil)
		c.refused(libvirt.ErrInternalError, proto.ConnectDomainEventRegister, nil)
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		expect(libvirt.DomainEventDefined, int32(libvirt.DomainEventDefinedAdded))
		c.ok(proto.ConnectDomainEventDeregister, nil, nil)
		c.refused(libvirt.ErrInternalError, proto.ConnectDomainEventDeregister, nil)
		d.OK("desc", "vm", "--config", "nobody hears of this")

		lifecycle := &libvirt.ConnectDomainEventRegisterAnyArgs{EventID: int32(libvirt.DomainEventIDLifecycle)}
		c.ok(proto.ConnectDomainEventRegisterAny, lifecycle, nil)
		c.refused(libvirt.ErrInternalError, proto.ConnectDomainEventRegisterAny, lifecycle)
		c.refused(libvirt.ErrInternalError, proto.ConnectDomainEventRegisterAny, &libvirt.ConnectDomainEventRegisterAnyArgs{EventID: 27})
		c.ok(proto.ConnectDomainEventRegisterAny, &libvirt.ConnectDomainEventRegisterAnyArgs{EventID: int32(libvirt.DomainEventIDReboot)}, nil)
		d.OK("start", "vm")
		d.DestroyLater("vm")
		expect(libvirt.DomainEventStarted, int32(libvirt.DomainEventStartedBooted))
		d.OK("reset", "vm")
		if p := c.message(); p.Procedure != proto.DomainEventReboot {
			t.Errorf("message %d, want %d", p.Procedure, proto.DomainEventReboot)
		}
		d.OK("destroy", "vm")
		expect(libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedDestroyed))
		c.ok(proto.ConnectDomainEventDeregisterAny, &libvirt.ConnectDomainEventDeregisterAnyArgs{EventID: int32(libvirt.DomainEventIDLifecycle)}, nil)
		d.OK("undefine", "vm")
		c.ok(proto.ConnectGetType, nil, nil)
		if len(c.messages) != 0 {
			t.Errorf("events %v after the registration's end", c.messages)
		}
	})
}

// refused makes a call that must fail with code.
func (c *rawClient) refused(code libvirt.ErrorNumber, procedure int32, args any) {
	c.t.Helper()
	p := c.call(proto.ProgramRemote, procedure, encode(c.t, args))
	if p.Status != wire.Error {
		c.t.Errorf("procedure %d succeeded, want code %d", procedure, code)
		return
	}
	if e := decodeError(c.t, p); e.Code != int32(code) {
		c.t.Errorf("procedure %d: code %d, %q; want code %d", procedure, e.Code, e.Message, code)
	}
}

// Events of one domain, of one kind, and those that run out of time, by virsh.
func TestEventCommand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm"}))
		d.Define(d.XML(testkit.Guest{Name: "other"}))
		answer{"event --domain vm --event lifecycle --timeout 1", true, "event loop timed out\nevents received: 0"}.check(t, d)
		answer{"event --domain nobody --event lifecycle", true, "failed to get domain 'nobody'"}.check(t, d)
		answer{"event --event nonsense", true, "unknown event type nonsense"}.check(t, d)

		events := d.Events()
		d.OK("desc", "other", "--config", "--title", "a title")
		events.Await("other", "metadata-change' for domain 'other': type title")
		d.OK("metadata", "vm", "urn:x", "--key", "k", "--set", "<a/>")
		events.Await("vm", "urn:x")
	})
}
