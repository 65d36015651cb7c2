package proto

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"virtumld/internal/virerr"
)

func TestEveryProcedureHasAClass(t *testing.T) {
	t.Parallel()
	for _, program := range []uint32{ProgramRemote, ProgramQEMU, ProgramLXC} {
		for i, p := range Procedures(program) {
			if p.Access == 0 {
				t.Errorf("%s (%d) is in no access class", p.Name, p.Number)
			}
			if int(p.Number) != i+1 {
				t.Errorf("%s is number %d in place %d", p.Name, p.Number, i+1)
			}
		}
	}
	seen := make(map[int32]bool)
	for _, numbers := range accessClasses {
		for _, n := range numbers {
			if seen[n] {
				t.Errorf("%s is in two access classes", Find(ProgramRemote, n).Name)
			}
			seen[n] = true
		}
	}
}

func TestProcedures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		program uint32
		number  int32
		api     string
		access  Access
		domain  virerr.Domain
	}{
		{ProgramRemote, ConnectOpen, "virConnectOpen", ReadOnly, virerr.Virt},
		{ProgramRemote, DomainGetXMLDesc, "virDomainGetXMLDesc", ReadOnly, virerr.Virt},
		{ProgramRemote, DomainGetOsType, "virDomainGetOSType", ReadOnly, virerr.Virt},
		{ProgramRemote, DomainLookupByUUID, "virDomainLookupByUUID", ReadOnly, virerr.Virt},
		{ProgramRemote, DomainInterfaceStats, "virDomainInterfaceStats", ReadOnly, virerr.Virt},
		{ProgramRemote, DomainOpenConsole, "virDomainOpenConsole", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainGetHostname, "virDomainGetHostname", ReadWrite, virerr.Virt},
		{ProgramRemote, ConnectGetDomainCapabilities, "virConnectGetDomainCapabilities", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainFsfreeze, "virDomainFSFreeze", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainPmWakeup, "virDomainPMWakeup", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainPinIothread, "virDomainPinIOThread", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainSetBlockIOTune, "virDomainSetBlockIoTune", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainAuthorizedSshKeysGet, "virDomainAuthorizedSSHKeysGet", ReadWrite, virerr.Virt},
		{ProgramRemote, ConnectDomainEventCallbackRegisterAny, "virConnectDomainEventRegisterAny", ReadOnly, virerr.Virt},
		{ProgramRemote, NodeGetCPUMap, "virNodeGetCPUMap", ReadOnly, virerr.Virt},
		{ProgramRemote, NodeGetSevInfo, "virNodeGetSEVInfo", ReadWrite, virerr.Virt},
		{ProgramRemote, DomainSnapshotDelete, "virDomainSnapshotDelete", ReadWrite, virerr.Snapshot},
		{ProgramRemote, DomainCheckpointDelete, "virDomainCheckpointDelete", ReadWrite, checkpoint},
		{ProgramRemote, ConnectListAllStoragePools, "virConnectListAllStoragePools", ReadOnly, virerr.Storage},
		{ProgramRemote, StorageVolDownload, "virStorageVolDownload", ReadWrite, virerr.Storage},
		{ProgramRemote, NetworkGetDhcpLeases, "virNetworkGetDHCPLeases", ReadOnly, virerr.Network},
		{ProgramRemote, NodeNumOfDevices, "virNodeNumOfDevices", ReadOnly, virerr.NodeDev},
		{ProgramRemote, NodeDeviceLookupScsiHostByWwn, "virNodeDeviceLookupSCSIHostByWWN", ReadOnly, virerr.NodeDev},
		{ProgramRemote, InterfaceLookupByMacString, "virInterfaceLookupByMACString", ReadOnly, virerr.Interface},
		{ProgramRemote, SecretGetValue, "virSecretGetValue", ReadWrite, virerr.Secret},
		{ProgramRemote, NwfilterGetXMLDesc, "virNWFilterGetXMLDesc", ReadOnly, virerr.NWFilter},
		{ProgramQEMU, QEMUDomainMonitorCommand, "virDomainQemuMonitorCommand", ReadWrite, virerr.None},
		{ProgramQEMU, QEMUConnectDomainMonitorEventRegister, "virConnectDomainQemuMonitorEventRegister", ReadWrite, virerr.None},
		{ProgramLXC, LXCDomainOpenNamespace, "virDomainLxcOpenNamespace", ReadWrite, virerr.None},
	} {
		p := Find(tt.program, tt.number)
		if p == nil {
			t.Errorf("%s is not there", tt.api)
			continue
		}
		if p.API != tt.api || p.Access != tt.access || p.Domain != tt.domain {
			t.Errorf("%s: %s, access %d, domain %d; want %s, %d, %d",
				p.Name, p.API, p.Access, p.Domain, tt.api, tt.access, tt.domain)
		}
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	last := int32(len(Procedures(ProgramRemote)))
	for _, n := range []int32{-1 << 31, -1, 0, last + 1, 1<<31 - 1} {
		if p := Find(ProgramRemote, n); p != nil {
			t.Errorf("procedure %d is %s", n, p.Name)
		}
	}
	if Find(ProgramKeepalive, KeepalivePing) != nil || Find(7, 1) != nil {
		t.Error("found a procedure of a program without procedures")
	}
	if Known(ProgramRemote, 2) || Known(7, 1) || Known(ProgramKeepalive, Version) || !Known(ProgramQEMU, Version) {
		t.Error("Known is wrong about programs")
	}
}

// goLibvirt parses go-libvirt's protocol structs.
func goLibvirt(t *testing.T) map[string]*ast.StructType {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/digitalocean/go-libvirt").Output()
	if err != nil {
		t.Fatal(err)
	}
	structs := make(map[string]*ast.StructType)
	for _, name := range []string{"remote_protocol.gen.go", "qemu_protocol.gen.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	return structs
}

// Every list in arguments must be bounded, and every bound must be of a list.
func TestLimitsCoverEveryList(t *testing.T) {
	t.Parallel()
	lists := make(map[string]bool)
	for name, s := range goLibvirt(t) {
		for _, f := range s.Fields.List {
			array, ok := f.Type.(*ast.ArrayType)
			if ok && array.Len == nil {
				lists[name+"."+f.Names[0].Name] = true
			}
		}
	}
	if len(lists) < 100 {
		t.Fatalf("only %d lists found", len(lists))
	}
	for list := range lists {
		if _, ok := limits[list]; !ok && strings.Contains(list, "Args.") {
			t.Errorf("%s has no limit", list)
		}
	}
	for list := range limits {
		if !lists[list] {
			t.Errorf("%s has a limit and is no list", list)
		}
	}
}

func TestGeneratedFileIsUpToDate(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("procedures.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if formatted, err := format.Source(want); err != nil || !slices.Equal(formatted, want) {
		t.Fatalf("procedures.gen.go is not formatted (%v)", err)
	}
	generate := exec.Command("go", "run", "./gen", "-stdout")
	generate.Stderr = os.Stderr
	got, err := generate.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("procedures.gen.go differs from what the generator writes: run go generate ./internal/proto")
	}
}
