// Package proto describes libvirt's RPC programs: procedure numbers, the API
// function behind each, who may call it, the features a client may ask for,
// and the structs that go-libvirt does not export. It says what exists, not
// what is served, and knows neither packets nor connections.
package proto

//go:generate go run ./gen

import (
	"strings"

	"virtumld/internal/virerr"
	"virtumld/internal/xdr"
)

// The programs, all of version 1 (libvirt's src/remote/*.x and
// src/rpc/virkeepaliveprotocol.x).
const (
	ProgramRemote    = 0x20008086
	ProgramQEMU      = 0x20008087
	ProgramLXC       = 0x00068000
	ProgramKeepalive = 0x6b656570

	Version = 1
)

// LXCDomainOpenNamespace is the lxc program's only procedure
// (src/remote/lxc_protocol.x), which go-libvirt leaves out.
const LXCDomainOpenNamespace = 1

// The keepalive program's procedures.
const (
	KeepalivePing = 1
	KeepalivePong = 2
)

// Codec encodes and decodes the programs' structs within libvirt's limits.
var Codec = xdr.NewCodec(limits)

// Procedure is one procedure of a program.
type Procedure struct {
	// Number is its number in the program.
	Number int32
	// Name is its Go name: the part of go-libvirt's argument struct's name
	// before "Args".
	Name string
	// API is libvirt's function, as error texts spell it.
	API string
	// Access says who may call it.
	Access Access
	// Domain is where libvirt's own library would report that the function
	// is not supported.
	Domain virerr.Domain
}

// programs has each program's procedures, by number less one.
var programs = map[uint32][]Procedure{
	ProgramRemote: remote(),
	ProgramQEMU:   qemu(),
	ProgramLXC: {{
		Number: LXCDomainOpenNamespace, Name: "LXCDomainOpenNamespace",
		API: "virDomainLxcOpenNamespace", Access: ReadWrite,
	}},
}

// Known reports whether there is such a program in this version.
func Known(program, version uint32) bool {
	return version == Version && programs[program] != nil
}

// Find returns a program's procedure, or nil.
func Find(program uint32, number int32) *Procedure {
	procedures := programs[program]
	if number < 1 || int(number) > len(procedures) {
		return nil
	}
	return &procedures[number-1]
}

// Procedures returns a program's procedures in the order of their numbers.
// The slice is shared: do not change it.
func Procedures(program uint32) []Procedure { return programs[program] }

func remote() []Procedure {
	for access, numbers := range accessClasses {
		for _, n := range numbers {
			remoteProcedures[n-1].Access = access
		}
	}
	for i := range remoteProcedures {
		remoteProcedures[i].Domain = errorDomain(remoteProcedures[i].API)
	}
	return remoteProcedures
}

// qemu classes the qemu program's procedures: libvirt's src/libvirt-qemu.c
// refuses each to a read-only client.
func qemu() []Procedure {
	for i := range qemuProcedures {
		qemuProcedures[i].Access = ReadWrite
	}
	qemuProcedures[QEMUDomainMonitorEvent-1].Access = Message
	return qemuProcedures
}

// errorDomain returns the VIR_FROM_THIS of the file in libvirt's src/ that
// holds an API function.
func errorDomain(api string) virerr.Domain {
	for _, d := range errorDomains {
		if strings.Contains(api, d.part) {
			return d.domain
		}
	}
	return virerr.Virt
}

// checkpoint is VIR_FROM_DOMAIN_CHECKPOINT.
const checkpoint virerr.Domain = 69

// errorDomains are tried in order: a node device's function is not the
// node's, and a function that lists pools for a connection is the pool's.
var errorDomains = []struct {
	part   string
	domain virerr.Domain
}{
	{"Snapshot", virerr.Snapshot},
	{"Checkpoint", checkpoint},
	{"virDomain", virerr.Virt},
	{"Storage", virerr.Storage},
	{"NWFilter", virerr.NWFilter},
	{"Network", virerr.Network},
	{"NodeDevice", virerr.NodeDev},
	{"NodeNumOfDevices", virerr.NodeDev},
	{"NodeListDevices", virerr.NodeDev},
	{"Interface", virerr.Interface},
	{"Secret", virerr.Secret},
}
