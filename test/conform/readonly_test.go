package conform

import (
	"fmt"
	"os"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/testkit"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

// probes are payloads that fit most procedures: none, zeroes, and a domain
// with zeroes behind it. All zeroes are absent and empty values, flags of
// nothing and numbers 0.
func probes(t *testing.T, dom libvirt.Domain) [][]byte {
	t.Helper()
	object := encode(t, &libvirt.DomainLookupByUUIDRet{Dom: dom})
	var all [][]byte
	for words := range 14 {
		zeroes := make([]byte, 4*words)
		all = append(all, zeroes, append(append([]byte(nil), object...), zeroes...))
	}
	return all
}

// A read-only client, by its socket or by its own wish, changes nothing by any
// procedure of any program.
func TestReadOnlyClientChangesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		d.Define(d.XML(testkit.Guest{Name: "idle"}))
		before := state(d)

		clients := map[string]func() *rawClient{"flag": func() *rawClient {
			c := dial(t, d.Socket)
			c.open(1)
			return c
		}}
		if ro := d.Socket + "-ro"; d.Identity() == testkit.Root {
			clients["socket"] = func() *rawClient {
				c := dial(t, ro)
				c.open(0)
				return c
			}
		} else if _, err := os.Stat(ro); err == nil {
			t.Errorf("the session has a read-only socket %s", ro)
		}
		for name, connect := range clients {
			for _, domain := range []string{"vm", "idle"} {
				t.Run(name+" "+domain, func(t *testing.T) {
					c := connect()
					c.t = t
					var found libvirt.DomainLookupByNameRet
					c.ok(proto.DomainLookupByName, &libvirt.DomainLookupByNameArgs{Name: domain}, &found)
					for _, flag := range []libvirt.DomainXMLFlags{libvirt.DomainXMLSecure, libvirt.DomainXMLMigratable} {
						args := encode(t, &libvirt.DomainGetXMLDescArgs{Dom: found.Dom, Flags: flag})
						if p := c.call(proto.ProgramRemote, proto.DomainGetXMLDesc, args); p.Status != wire.Error {
							t.Errorf("the document with flag %d is shown", flag)
						}
					}
					for _, program := range []uint32{proto.ProgramRemote, proto.ProgramQEMU, proto.ProgramLXC} {
						probeAll(c, program, probes(t, found.Dom))
					}
				})
			}
		}
		if after := state(d); after != before {
			t.Errorf("a read-only client has changed\n%s\ninto\n%s", before, after)
		}
	})
}

// probeAll calls every procedure of program with every payload.
func probeAll(c *rawClient, program uint32, payloads [][]byte) {
	c.t.Helper()
	for _, procedure := range proto.Procedures(program) {
		switch {
		case procedure.Access == proto.Message:
			p := c.call(program, procedure.Number, nil)
			if p.Status != wire.Error {
				c.t.Errorf("message %s can be called", procedure.Name)
			}
			continue
		case procedure.Access == proto.ReadWrite:
			p := c.call(program, procedure.Number, payloads[0])
			e := decodeError(c.t, p)
			text := "read only access prevents " + procedure.API
			if e.Code != int32(libvirt.ErrOperationDenied) || len(e.Message) == 0 || !strings.HasSuffix(e.Message[0], text) {
				c.t.Errorf("%s: code %d, %q; want %d, %q", procedure.Name, e.Code, e.Message, libvirt.ErrOperationDenied, text)
			}
			continue
		}
		for _, payload := range payloads {
			c.call(program, procedure.Number, payload)
		}
	}
}

// state is all that clients can see of the domains.
func state(d *testkit.Daemon) string {
	var out strings.Builder
	for _, command := range []string{
		"list --all --title", "list --all --autostart --name", "list --persistent --all --name",
		"dumpxml vm", "dumpxml vm --inactive", "dumpxml idle", "domstate vm --reason", "domstate idle --reason",
	} {
		fmt.Fprintf(&out, "%s:\n%s\n", command, d.OK(strings.Fields(command)...))
	}
	return out.String()
}

// What virsh -r says.
func TestReadOnlyVirsh(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		document := d.File("other.xml", d.XML(testkit.Guest{Name: "other"}))
		for command, function := range map[string]string{
			"define " + document:                    "virDomainDefineXML",
			"create " + document:                    "virDomainCreateXML",
			"destroy vm":                            "virDomainDestroy",
			"destroy vm --graceful":                 "virDomainDestroyFlags",
			"shutdown vm":                           "virDomainShutdown",
			"reboot vm":                             "virDomainReboot",
			"suspend vm":                            "virDomainSuspend",
			"undefine vm":                           "virDomainUndefine",
			"autostart vm":                          "virDomainSetAutostart",
			"desc vm changed":                       "virDomainSetMetadata",
			"setmem vm 40000 --config":              "virDomainSetMemoryFlags",
			"domrename vm other":                    "virDomainRename",
			"dumpxml vm --security-info":            "",
			"domcapabilities":                       "virConnectGetDomainCapabilities",
			"set-lifecycle-action vm crash destroy": "virDomainSetLifecycleAction",
		} {
			r := d.Virsh(append([]string{"-r"}, strings.Fields(command)...)...)
			want := "read only access prevents " + function
			if function == "" { // refused by the client library itself
				want = "operation forbidden"
			}
			if r.Code == 0 || !strings.Contains(r.Stderr, want) {
				t.Errorf("virsh -r %s: code %d\n%s\nwant %q", command, r.Code, r.Stderr, want)
			}
		}
		for _, command := range []string{"list --all", "dominfo vm", "dumpxml vm", "domstate vm", "capabilities", "nodeinfo"} {
			if r := d.Virsh(append([]string{"-r"}, strings.Fields(command)...)...); r.Code != 0 {
				t.Errorf("virsh -r %s: %s", command, r.Stderr)
			}
		}
	})
}

// Every procedure that is not served says so in libvirt's words, and no
// payload of zeroes harms the daemon.
func TestUnservedProcedures(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		c := dial(t, d.Socket)
		c.open(0)
		nobody := libvirt.Domain{Name: "nobody", UUID: libvirt.UUID{1}, ID: -1}
		for _, procedure := range proto.Procedures(proto.ProgramRemote) {
			if procedure.Access == proto.Message {
				continue
			}
			for _, payload := range probes(t, nobody) {
				p := c.call(proto.ProgramRemote, procedure.Number, payload)
				if p.Status != wire.Error {
					continue
				}
				e := decodeError(t, p)
				want := "this function is not supported by the connection driver: " + procedure.API
				if e.Code == int32(libvirt.ErrNoSupport) && (len(e.Message) == 0 || e.Message[0] != want || e.Domain != int32(procedure.Domain)) {
					t.Errorf("%s: domain %d, %q; want %d, %q", procedure.Name, e.Domain, e.Message, procedure.Domain, want)
				}
				if e.Domain == int32(virerr.None) && e.Code == int32(libvirt.ErrInternalError) {
					t.Errorf("%s: internal error from nowhere: %q", procedure.Name, e.Message)
				}
			}
		}
		if strings.Contains(d.Log(), "panicked") {
			t.Error("a procedure has panicked")
		}
	})
}
