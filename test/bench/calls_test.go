package bench

import (
	"fmt"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/proto"
)

const (
	// defined is how many domains each server has.
	defined = 500
	// connections is how many clients ask at the same time.
	connections = 16
	// share is how many calls each of them makes in a round.
	share = 100
)

// server is one side of the comparison.
type server struct {
	socket, uri string
	client      *libvirt.Libvirt
	lean        *lean
	domains     []libvirt.Domain
}

// servers are virtumld and libvirtd's test driver with the same domains.
func servers(b *testing.B) (ours, theirs *server) {
	b.Helper()
	ours = &server{socket: start(b).Socket, uri: uri()}
	theirs = &server{socket: startLibvirtd(b), uri: "test:///default"}
	for _, s := range []*server{ours, theirs} {
		s.client = connect(b, s.socket, s.uri)
		s.lean = connectLean(b, s.socket, s.uri)
	}
	// The test driver comes with a domain.
	dom, err := theirs.client.DomainLookupByName("test")
	must(b, err)
	must(b, theirs.client.DomainDestroy(dom))
	must(b, theirs.client.DomainUndefine(dom))
	ours.define(b, "uml", "uml")
	theirs.define(b, "test", "hvm")
	return ours, theirs
}

// define defines the domains.
func (s *server) define(b *testing.B, kind, osType string) {
	b.Helper()
	for i := range defined {
		dom, err := s.client.DomainDefineXML(document(kind, osType, i))
		must(b, err)
		s.domains = append(s.domains, dom)
	}
}

// document is a domain that both drivers take.
func document(kind, osType string, number int) string {
	id := uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s %d", kind, number))
	return fmt.Sprintf(`<domain type='%s'>
  <name>domain%d</name>
  <uuid>%s</uuid>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os><type>%s</type><kernel>/srv/kernel</kernel></os>
  <devices>
    <disk type='file' device='disk'><source file='/srv/images/%d.img'/><target dev='vda' bus='virtio'/></disk>
    <console type='pty'><target port='0'/></console>
  </devices>
</domain>`, kind, number, id, osType, number)
}

// question is a call about one domain, made with either client.
type question struct {
	name      string
	ask       func(l *libvirt.Libvirt, dom libvirt.Domain) error
	procedure int32
	args      func(dom libvirt.Domain) any
}

var questions = []question{
	{
		"lookup",
		func(l *libvirt.Libvirt, dom libvirt.Domain) error {
			_, err := l.DomainLookupByName(dom.Name)
			return err
		},
		proto.DomainLookupByName,
		func(dom libvirt.Domain) any { return &libvirt.DomainLookupByNameArgs{Name: dom.Name} },
	},
	{
		"state",
		func(l *libvirt.Libvirt, dom libvirt.Domain) error {
			_, _, err := l.DomainGetState(dom, 0)
			return err
		},
		proto.DomainGetState,
		func(dom libvirt.Domain) any { return &libvirt.DomainGetStateArgs{Dom: dom} },
	},
	{
		"info",
		func(l *libvirt.Libvirt, dom libvirt.Domain) error {
			_, _, _, _, _, err := l.DomainGetInfo(dom)
			return err
		},
		proto.DomainGetInfo,
		func(dom libvirt.Domain) any { return &libvirt.DomainGetInfoArgs{Dom: dom} },
	},
	dumpxml,
}

var dumpxml = question{
	"dumpxml",
	func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		_, err := l.DomainGetXMLDesc(dom, 0)
		return err
	},
	proto.DomainGetXMLDesc,
	func(dom libvirt.Domain) any { return &libvirt.DomainGetXMLDescArgs{Dom: dom} },
}

// packets are the question's calls about every domain.
func (q question) packets(b *testing.B, domains []libvirt.Domain) [][]byte {
	var packets [][]byte
	for _, dom := range domains {
		packets = append(packets, packet(b, q.procedure, q.args(dom)))
	}
	return packets
}

// BenchmarkCalls asks about each of 500 defined domains, one call after the
// other on one connection.
func BenchmarkCalls(b *testing.B) {
	ours, theirs := servers(b)
	for _, q := range questions {
		b.Run(q.name+"/go-libvirt", func(b *testing.B) {
			sweep := func(s *server) func() {
				return func() {
					for _, dom := range s.domains {
						must(b, q.ask(s.client, dom))
					}
				}
			}
			compare(b, defined, sweep(ours), sweep(theirs))
		})
		b.Run(q.name+"/lean", func(b *testing.B) {
			sweep := func(s *server) func() {
				packets := q.packets(b, s.domains)
				return func() {
					for _, packet := range packets {
						must(b, s.lean.call(packet))
					}
				}
			}
			compare(b, defined, sweep(ours), sweep(theirs))
		})
	}
	benchmarkList(b, ours, theirs)
	benchmarkParallel(b, ours, theirs)
}

// compare runs the work of both sides in turns and reports.
func compare(b *testing.B, steps int, ours, theirs func()) {
	ours()
	theirs() // once unmeasured: caches and pools fill
	c := comparison{}
	for b.Loop() {
		c.run(ours, theirs)
	}
	c.report(b, steps, "libvirtd")
}

// benchmarkList lists all domains.
func benchmarkList(b *testing.B, ours, theirs *server) {
	const lists = 10
	b.Run("list/go-libvirt", func(b *testing.B) {
		list := func(s *server) func() {
			return func() {
				for range lists {
					domains, _, err := s.client.ConnectListAllDomains(1, 0)
					must(b, err)
					if len(domains) != defined {
						b.Fatalf("%d domains, want %d", len(domains), defined)
					}
				}
			}
		}
		compare(b, lists, list(ours), list(theirs))
	})
	b.Run("list/lean", func(b *testing.B) {
		call := packet(b, proto.ConnectListAllDomains, &libvirt.ConnectListAllDomainsArgs{NeedResults: 1})
		list := func(s *server) func() {
			return func() {
				for range lists {
					must(b, s.lean.call(call))
				}
			}
		}
		compare(b, lists, list(ours), list(theirs))
	})
}

// benchmarkParallel asks for documents on many connections at the same time.
// The times are those of all connections together, a call.
func benchmarkParallel(b *testing.B, ours, theirs *server) {
	b.Run("parallel-dumpxml/go-libvirt", func(b *testing.B) {
		clients := func(s *server) func() {
			var clients []*libvirt.Libvirt
			for range connections {
				clients = append(clients, connect(b, s.socket, s.uri))
			}
			return together(b, func(client, call int) error {
				return dumpxml.ask(clients[client], s.domains[(client*share+call)%defined])
			})
		}
		compare(b, connections*share, clients(ours), clients(theirs))
	})
	b.Run("parallel-dumpxml/lean", func(b *testing.B) {
		clients := func(s *server) func() {
			var clients []*lean
			for range connections {
				clients = append(clients, connectLean(b, s.socket, s.uri))
			}
			packets := dumpxml.packets(b, s.domains)
			return together(b, func(client, call int) error {
				return clients[client].call(packets[(client*share+call)%defined])
			})
		}
		compare(b, connections*share, clients(ours), clients(theirs))
	})
}

// together returns work in which all clients make their calls at once.
func together(b *testing.B, ask func(client, call int) error) func() {
	return func() {
		var group sync.WaitGroup
		for client := range connections {
			group.Go(func() {
				for call := range share {
					if err := ask(client, call); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
	}
}
