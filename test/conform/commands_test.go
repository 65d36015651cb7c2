package conform

import (
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// answer is what a virsh command must give.
type answer struct {
	command string
	// refused says that the command fails.
	refused bool
	// want is part of what virsh prints.
	want string
}

func (a answer) check(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	r := d.Virsh(strings.Fields(a.command)...)
	text := r.Stdout + r.Stderr
	switch {
	case (r.Code != 0) != a.refused:
		t.Errorf("virsh %s: exit code %d\n%s", a.command, r.Code, text)
	case !strings.Contains(text, a.want):
		t.Errorf("virsh %s:\n%s\nwant %q", a.command, text, a.want)
	}
}

const (
	notRunning = "error: Requested operation is not valid: domain is not running"
	noConfig   = "error: Requested operation is not valid: transient domains do not have any persistent config"
)

// The errors of the three kinds of domains are those of libvirt's QEMU driver,
// code and words.
func TestErrorsOfStates(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		d.Define(d.XML(testkit.Guest{Name: "off"}))
		d.OK("create", d.File("t.xml", d.XML(testkit.Guest{Name: "temp", Disk: d.Rootfs("temp.img")})))
		d.DestroyLater("temp")

		for _, a := range []answer{
			// A running domain.
			{"resume vm", true, "error: Requested operation is not valid: domain is already running"},
			{"domrename vm other", true, "error: Requested operation is not valid: cannot rename active domain"},
			{"setmaxmem vm 256M", true, "error: Requested operation is not valid: cannot resize the maximum memory on an active domain"},
			{"setmaxmem vm 256M --live", true, "cannot resize the maximum memory on an active domain"},
			{"setmem vm 40M", true, "error: Operation not supported: the memory of a running UML guest cannot be changed"},
			{"setmem vm 256M --config", true, "error: invalid argument: cannot set memory higher than max memory"},
			{"setvcpus vm 2", true, "error: invalid argument: requested vcpus is greater than max allowable vcpus"},
			{"setvcpus vm 2 --config", true, "error: invalid argument: requested vcpus is greater than max allowable vcpus"},
			{"setvcpus vm 1 --guest", true, "unsupported flags (0x8) in function virDomainSetVcpusFlags"},
			{"set-lifecycle-action vm crash coredump-destroy", true, "lifecycle action 'coredump-destroy' is not available"},
			{"set-lifecycle-action vm crash preserve --live --config", false, ""},
			{"dumpxml vm --xpath //on_crash", false, "<on_crash>preserve</on_crash>"},
			{"dumpxml vm --inactive --xpath //on_crash", false, "<on_crash>preserve</on_crash>"},
			{"shutdown vm --mode agent", true, "error: Operation not supported: "},
			{"domjobabort vm", true, "error: this function is not supported by the connection driver: virDomainAbortJob"},
			{"domjobinfo vm", false, "Job type:         None"},
			{"domjobinfo vm --completed", false, "Job type:         None"},
			{"domcontrol vm", false, "ok"},
			{"vcpucount vm --maximum --live", false, "1"},
			{"vcpucount vm --active --config", false, "1"},
			{"vcpucount vm --guest", true, "unsupported flags (0x8) in function virDomainGetVcpusFlags"},
			// An inactive domain.
			{"domcontrol off", true, notRunning},
			{"domjobinfo off", true, notRunning},
			{"vcpucount off --live", true, notRunning},
			{"vcpucount off --current", false, "1"},
			{"setmem off 32M --live", true, notRunning},
			{"setmem off 32M", true, notRunning},
			{"setmem off 32M --current", false, ""},
			{"setmaxmem off 256M --live", true, notRunning},
			{"setmaxmem off 256M", false, ""},
			{"dominfo off", false, "Max memory:     262144 KiB\nUsed memory:    32768 KiB"},
			{"desc off --live x", true, notRunning},
			{"set-lifecycle-action off crash preserve --live", true, notRunning},
			{"domrename off off", true, "error: Requested operation is not valid: "},
			{"ttyconsole off", true, ""},
			{"console off", true, "error: The domain is not running"},
			// A transient domain.
			{"desc temp --config x", true, noConfig},
			{"setmem temp 32M --config", true, noConfig},
			{"vcpucount temp --config", true, noConfig},
			{"set-lifecycle-action temp crash preserve --config", true, noConfig},
			{"autostart temp", true, "error: Requested operation is not valid: cannot set autostart for transient domain"},
			{"undefine temp", true, "error: Requested operation is not valid: cannot undefine transient domain"},
			{"desc temp --live --title the-temporary-one", false, ""},
			{"list --title", false, "the-temporary-one"},
			{"undefine off --managed-save --snapshots-metadata --checkpoints-metadata --nvram", false, ""},
		} {
			a.check(t, d)
		}
	})
}

// The document for a migration is the running guest's: the inactive one may
// have changed since it was started.
func TestMigratableDocument(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		d.OK("setmaxmem", "vm", "256M", "--config")
		answer{"dumpxml vm --migratable --xpath /domain/memory", false, "131072"}.check(t, d)
		answer{"dumpxml vm --inactive --migratable --xpath /domain/memory", false, "262144"}.check(t, d)
	})
}

// Calls of libvirt that have no meaning here fail in libvirt's words; those
// that a client can do without say that there is nothing.
func TestWhatIsNotThere(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "off"}))
		for command, function := range map[string]string{
			"sysinfo":                   "virConnectGetSysinfo",
			"cpu-models x86_64":         "virConnectGetCPUModelNames",
			"snapshot-create off":       "virDomainSnapshotCreateXML",
			"checkpoint-list off":       "virDomainListAllCheckpoints",
			"managedsave off":           "virDomainManagedSave",
			"emulatorpin off":           "virDomainGetEmulatorPinInfo",
			"nodesuspend mem 60":        "virNodeSuspendForDuration",
			"node-memory-tune":          "virNodeGetMemoryParameters",
			"qemu-attach 1":             "virDomainQemuAttach",
			"dompmsuspend off mem":      "virDomainPMSuspendForDuration",
			"set-user-password off a b": "virDomainSetUserPassword",
		} {
			answer{command, true, "error: this function is not supported by the connection driver: " + function}.check(t, d)
		}
		for _, command := range []string{
			"domfsinfo off", "guestinfo off", "domtime off", "domblkstat off ubd0", "send-key off KEY_LEFTALT KEY_SYSRQ KEY_S", "screenshot off", "inject-nmi off",
			"dommemstat off", "cpu-stats off", "domhostname off", "detach-disk off ubd0 --live",
		} {
			answer{command, true, "domain is not running"}.check(t, d)
		}
		for command, want := range map[string]string{
			"net-name x":                        "failed to get network 'x'",
			"net-uuid x":                        "Network not found: no network with matching name 'x'",
			"pool-info x":                       "Storage pool not found: no storage pool with matching name 'x'",
			"vol-info /x":                       "Storage volume not found: no storage vol with matching path '/x'",
			"iface-mac x":                       "Interface not found: couldn't find interface named 'x'",
			"nodedev-dumpxml x":                 "Node device not found: no node device with matching name 'x'",
			"nwfilter-dumpxml x":                "Network filter not found: no nwfilter with matching name 'x'",
			"snapshot-current off":              "has no current snapshot",
			"maxvcpus --type kvm":               "invalid argument: unknown type 'kvm'",
			"freecell --cellno 4096":            "out of range",
			"freepages --cellno 0 --pagesize 5": "page size 5 is not available on node 0",
			"nodecpustats --cpu 4096":           "invalid argument: Invalid cpuNum in virNodeGetCPUStats",
			"nodememstats --cell 4096":          "invalid argument: cellNum in virNodeGetMemoryStats",
			"domcapabilities --virttype kvm":    "invalid argument: virttype 'kvm' is not supported",
			"domcapabilities --arch ppc64":      "invalid argument: architecture 'ppc64' is not supported",
			"secret-dumpxml c7a5fdbd-edaf-9455-926a-d65c16db1809": "Secret not found: no secret with matching uuid 'c7a5fdbd-edaf-9455-926a-d65c16db1809'",
		} {
			answer{command, true, "error: "}.check(t, d)
			answer{command, true, want}.check(t, d)
		}
		for _, command := range []string{
			"net-list --all", "pool-list --all", "iface-list --all", "nodedev-list", "secret-list",
			"nwfilter-list", "nwfilter-binding-list", "snapshot-list off", "event --list",
			"nodecpumap --pretty", "freecell --all", "freepages --all", "version --daemon",
			"domblklist off --details --inactive", "managedsave-remove off",
		} {
			answer{command, false, ""}.check(t, d)
		}
	})
}

// A guest that is only just booting is suspended, resumed and shut
// down like any other: what needs its kernel waits for it.
func TestRequestsWhileBooting(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.DestroyLater("vm")
		events := d.Events()
		d.OK("start", "vm", "--paused")
		d.OK("resume", "vm")
		d.OK("suspend", "vm")
		d.OK("resume", "vm")
		d.OK("reset", "vm")
		d.OK("suspend", "vm")
		answer{"domstate vm --reason", false, "paused (user)"}.check(t, d)
		d.OK("resume", "vm")
		d.OK("reset", "vm")
		d.OK("shutdown", "vm")
		events.Await("vm", "Stopped Shutdown")
	})
}
