package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patienceOfTests is how long anything may take before a test has failed.
const patienceOfTests = 2 * time.Minute

// guests is a Guests of a test.
type guests map[string]netip.Addr

func (g guests) Addresses(name string, _ time.Time) []netip.Addr {
	if a, ok := g[strings.ToLower(name)]; ok {
		return []netip.Addr{a}
	}
	return nil
}

func (g guests) Hostname(a netip.Addr, _ time.Time) string {
	for name, own := range g {
		if own == a {
			return name
		}
	}
	return ""
}

// serving is a running server of a test, on UDP and TCP.
type serving struct {
	*Server
	udp, tcp string
}

// start runs a server until the test ends.
func start(t *testing.T, cfg Config) *serving {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s := &serving{Server: New(cfg)}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.udp, s.tcp = conn.LocalAddr().String(), listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.ServeUDP(ctx, conn) }()
	go func() { ended <- s.ServeTCP(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("the server ended with %v", err)
			}
		}
	})
	return s
}

// query makes a query; modifiers change it.
func query(name string, kind uint16, modifiers ...func(*dns.Msg)) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, kind)
	for _, modify := range modifiers {
		modify(m)
	}
	return m
}

func edns(size uint16) func(*dns.Msg) { return func(m *dns.Msg) { m.SetEdns0(size, false) } }

func exchange(t *testing.T, network, address string, m *dns.Msg) *dns.Msg {
	t.Helper()
	client := &dns.Client{Net: network, Timeout: patienceOfTests}
	out, _, err := client.Exchange(m, address)
	if err != nil {
		t.Fatalf("%s: %v", m.Question[0].Name, err)
	}
	return out
}

// summary is an answer in short: its code and what its records say.
func summary(m *dns.Msg) string {
	out := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(out, " ")
}

// upstream is a resolver of a test. It counts queries.
type upstream struct {
	address netip.AddrPort
	asked   atomic.Int32
}

// resolver starts an upstream that answers by UDP and TCP as answer says; nil
// is no answer.
func resolver(t *testing.T, answer func(m *dns.Msg) *dns.Msg) *upstream {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{address: netip.MustParseAddrPort(conn.LocalAddr().String())}
	listener, err := net.Listen("tcp", u.address.String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		u.asked.Add(1)
		if out := answer(m); out != nil {
			if w.RemoteAddr().Network() == "udp" {
				size := dns.MinMsgSize
				if opt := m.IsEdns0(); opt != nil {
					size = int(opt.UDPSize())
				}
				out.Truncate(size)
			}
			_ = w.WriteMsg(out) // the client may be gone
		}
	})
	for _, server := range []*dns.Server{{PacketConn: conn, Handler: handler}, {Listener: listener, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	return u
}

// always answers every question for an address with that one.
func always(address string) func(*dns.Msg) *dns.Msg {
	return func(m *dns.Msg) *dns.Msg {
		out := new(dns.Msg).SetReply(m)
		rr, err := dns.NewRR(m.Question[0].Name + " 60 IN A " + address)
		if err != nil {
			panic(err)
		}
		out.Answer = []dns.RR{rr}
		return out
	}
}

func rcode(code int) func(*dns.Msg) *dns.Msg {
	return func(m *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(m, code) }
}

func localConfig() Config {
	return Config{
		Name: "default", Domain: "vm.test", Subnets: []netip.Prefix{netip.MustParsePrefix("192.168.122.0/24"), netip.MustParsePrefix("fd00::/64")},
		Guests: guests{"web": netip.MustParseAddr("192.168.122.10"), "six": netip.MustParseAddr("fd00::6"), "db": netip.MustParseAddr("192.168.122.66")},
		Settings: Settings{
			LocalOnly: true,
			Hosts: []Host{
				{Address: netip.MustParseAddr("192.168.122.2"), Names: []string{"Gateway", "gw.example.com"}},
				{Address: netip.MustParseAddr("192.168.122.3"), Names: []string{"db"}},
				{Address: netip.MustParseAddr("fd00::3"), Names: []string{"db"}},
			},
			TXT: []Text{{Name: "note.example.com", Value: `a\b "c"`}, {Name: "long.example.com", Value: strings.Repeat("x", 300)}},
			SRV: []Service{
				{Service: "ldap", Protocol: "tcp", Target: "db", Port: 389, Priority: 1, Weight: 2},
				{Service: "sip", Protocol: "udp", Domain: "example.com"},
			},
		},
	}
}

func TestLocalNames(t *testing.T) {
	s := start(t, localConfig())
	for _, test := range []struct {
		name string
		kind uint16
		want string
	}{
		{"gateway.", dns.TypeA, "NOERROR 192.168.122.2"},
		{"GateWay.VM.test.", dns.TypeA, "NOERROR 192.168.122.2"},
		{"gateway.", dns.TypeAAAA, "NOERROR"},
		{"gateway.", dns.TypeMX, "NOERROR"},
		{"gw.example.com.", dns.TypeA, "NOERROR 192.168.122.2"},
		{"web.", dns.TypeA, "NOERROR 192.168.122.10"},
		{"web.vm.test.", dns.TypeA, "NOERROR 192.168.122.10"},
		{"web.vm.test.", dns.TypeAAAA, "NOERROR"},
		{"web.example.com.", dns.TypeA, "NXDOMAIN"},
		{"a.web.vm.test.", dns.TypeA, "NXDOMAIN"},
		{"six.", dns.TypeAAAA, "NOERROR fd00::6"},
		{"six.", dns.TypeA, "NOERROR"},
		// A guest cannot take the name of a host of the settings.
		{"db.", dns.TypeA, "NOERROR 192.168.122.3"},
		{"db.vm.test.", dns.TypeANY, "NOERROR 192.168.122.3 fd00::3"},
		{"nobody.", dns.TypeA, "NXDOMAIN"},
		{"note.example.com.", dns.TypeTXT, `NOERROR "a\\b \"c\""`},
		{"note.example.com.", dns.TypeA, "NOERROR"},
		{"long.example.com.", dns.TypeTXT, `NOERROR "` + strings.Repeat("x", 255) + `" "` + strings.Repeat("x", 45) + `"`},
		{"_ldap._tcp.vm.test.", dns.TypeSRV, "NOERROR 1 2 389 db.vm.test."},
		{"_sip._udp.example.com.", dns.TypeSRV, "NOERROR 0 0 0 ."},
		{"2.122.168.192.in-addr.arpa.", dns.TypePTR, "NOERROR gateway.vm.test."},
		{"10.122.168.192.in-addr.arpa.", dns.TypePTR, "NOERROR web.vm.test."},
		{"99.122.168.192.in-addr.arpa.", dns.TypePTR, "NXDOMAIN"},
		{mustReverse("fd00::6"), dns.TypePTR, "NOERROR six.vm.test."},
		{mustReverse("fd00::6"), dns.TypeTXT, "NOERROR"},
	} {
		for network, address := range map[string]string{"udp": s.udp, "tcp": s.tcp} {
			m := query(test.name, test.kind)
			got := exchange(t, network, address, m)
			if summary(got) != test.want || !got.Authoritative || got.Id != m.Id || !slices.Equal(got.Question, m.Question) {
				t.Errorf("%s %s by %s is %s (authoritative %t), want %s",
					test.name, dns.TypeToString[test.kind], network, summary(got), got.Authoritative, test.want)
			}
		}
	}
}

func mustReverse(a string) string {
	name, err := dns.ReverseAddr(a)
	if err != nil {
		panic(err)
	}
	return name
}

func TestRefusals(t *testing.T) {
	s := start(t, localConfig())
	for what, test := range map[string]struct {
		m    *dns.Msg
		want int
	}{
		"transfer":      {query("vm.test.", dns.TypeAXFR), dns.RcodeRefused},
		"another class": {query("version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		"another EDNS":  {query("web.", dns.TypeA, edns(1232), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		"update":        {new(dns.Msg).SetUpdate("vm.test."), dns.RcodeNotImplemented},
	} {
		if got := exchange(t, "udp", s.udp, test.m); got.Rcode != test.want {
			t.Errorf("%s is answered with %s, want %s", what, dns.RcodeToString[got.Rcode], dns.RcodeToString[test.want])
		}
	}
}

func TestForwarders(t *testing.T) {
	all, corp, lab := resolver(t, always("1.1.1.1")), resolver(t, always("2.2.2.2")), resolver(t, always("3.3.3.3"))
	cfg := localConfig()
	cfg.LocalOnly, cfg.DomainOnly, cfg.NoPlainNames = false, true, true
	cfg.Forwarders = []Forwarder{{Address: all.address}, {Domain: "corp.test", Address: corp.address}, {Domain: "lab.corp.test.", Address: lab.address}}
	s := start(t, cfg)
	for name, want := range map[string]string{
		"www.example.org.":             "NOERROR 1.1.1.1",
		"xcorp.test.":                  "NOERROR 1.1.1.1",
		"Corp.test.":                   "NOERROR 2.2.2.2",
		"a.corp.test.":                 "NOERROR 2.2.2.2",
		"a.LAB.corp.test.":             "NOERROR 3.3.3.3",
		"web.vm.test.":                 "NOERROR 192.168.122.10",
		"nobody.vm.test.":              "NXDOMAIN",
		"nobody.":                      "NXDOMAIN",
		"99.122.168.192.in-addr.arpa.": "NXDOMAIN",
		"note.example.com.":            "NOERROR 1.1.1.1", // here it is only a text
	} {
		got := exchange(t, "udp", s.udp, query(name, dns.TypeA))
		if summary(got) != want || got.Question[0].Name != name || !got.RecursionAvailable {
			t.Errorf("%s is %s, want %s", name, summary(got), want)
		}
	}
	cfg.DomainOnly, cfg.NoPlainNames = false, false
	s.Configure(cfg)
	for _, name := range []string{"nobody.vm.test.", "nobody."} {
		if got := exchange(t, "udp", s.udp, query(name, dns.TypeA)); summary(got) != "NOERROR 1.1.1.1" {
			t.Errorf("%s is %s, want the forwarder's answer", name, summary(got))
		}
	}
}

func TestLocalOnlyAsksNobody(t *testing.T) {
	all := resolver(t, always("1.1.1.1"))
	s := start(t, Config{Settings: Settings{LocalOnly: true, Forwarders: []Forwarder{{Address: all.address}}}})
	for _, name := range []string{"www.example.org.", "8.8.8.8.in-addr.arpa."} {
		if got := exchange(t, "udp", s.udp, query(name, dns.TypeA)); got.Rcode != dns.RcodeNameError {
			t.Errorf("%s is %s", name, summary(got))
		}
	}
	if got := all.asked.Load(); got != 0 {
		t.Errorf("the forwarder was asked %d times", got)
	}
}

// hostFile writes a resolver file that names the loopback address, whose port
// the test chooses.
func hostFile(t *testing.T, path string, comment string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte("# "+comment+"\nnameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestHostResolvers(t *testing.T) {
	one := resolver(t, always("1.1.1.1"))
	path := filepath.Join(t.TempDir(), "resolv.conf")
	hostFile(t, path, "first")
	s := start(t, Config{ResolvConf: path, Settings: Settings{Forwarders: []Forwarder{{Domain: "corp.test"}, {Domain: "dead.test", Address: netip.MustParseAddrPort("127.0.0.1:1")}}}})
	s.host.port = fmt.Sprint(one.address.Port())
	for _, name := range []string{"www.example.org.", "a.corp.test."} {
		if got := exchange(t, "udp", s.udp, query(name, dns.TypeA)); summary(got) != "NOERROR 1.1.1.1" {
			t.Errorf("%s is %s, want the host's resolver's answer", name, summary(got))
		}
	}
	if got := exchange(t, "udp", s.udp, query("a.dead.test.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("a name whose forwarder is dead is %s", summary(got))
	}
}

func TestResolverFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	h := newHostResolvers(Config{ResolvConf: path, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	for i, test := range []struct {
		text string
		want []string
	}{
		{"", []string{"127.0.0.1:53"}},
		{"nameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver nonsense\n", []string{"10.0.0.1:53", "[fe80::1%eth0]:53"}},
		{"nameserver 127.0.0.53\noptions edns0\n", []string{"127.0.0.53:53"}},
		{"# none\n", []string{"127.0.0.1:53"}},
	} {
		if i > 0 {
			if err := os.WriteFile(path+".new", []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if got := h.get(); !slices.Equal(got, test.want) {
				t.Errorf("the resolvers of %q are %q, want %q", test.text, got, test.want)
			}
		}
	}
}

func TestTroubleOfResolvers(t *testing.T) {
	broken, good := resolver(t, rcode(dns.RcodeServerFailure)), resolver(t, always("1.1.1.1"))
	s := start(t, Config{Settings: Settings{Forwarders: []Forwarder{
		{Address: netip.MustParseAddrPort("127.0.0.1:1")}, {Address: broken.address}, {Address: good.address},
	}}})
	for i := range 3 {
		if got := exchange(t, "udp", s.udp, query(fmt.Sprintf("a%d.test.", i), dns.TypeA)); summary(got) != "NOERROR 1.1.1.1" {
			t.Errorf("the answer is %s", summary(got))
		}
	}
	if got := broken.asked.Load(); got != 1 {
		t.Errorf("the broken resolver is asked %d times, want once: the one that answers comes first then", got)
	}
	s.Configure(Config{Settings: Settings{Forwarders: []Forwarder{{Address: broken.address}}}})
	if got := exchange(t, "udp", s.udp, query("b.test.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("the answer of a broken resolver is %s", summary(got))
	}
}

func TestSilentResolver(t *testing.T) {
	t.Parallel()
	silent := resolver(t, func(*dns.Msg) *dns.Msg { return nil })
	s := start(t, Config{Settings: Settings{Forwarders: []Forwarder{{Address: silent.address}}}})
	if got := exchange(t, "udp", s.udp, query("www.example.org.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("the answer is %s", summary(got))
	}
}

func TestAnswerToAnotherQuestionIsIgnored(t *testing.T) {
	wrong := resolver(t, func(m *dns.Msg) *dns.Msg {
		out := always("6.6.6.6")(m)
		out.Question[0].Name = "bank.example."
		return out
	})
	s := start(t, Config{Settings: Settings{Forwarders: []Forwarder{{Address: wrong.address}}}})
	if got := exchange(t, "udp", s.udp, query("www.example.org.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure || len(got.Answer) != 0 {
		t.Errorf("the answer is %s", summary(got))
	}
}

func TestLongAnswers(t *testing.T) {
	long := resolver(t, func(m *dns.Msg) *dns.Msg {
		out := new(dns.Msg).SetReply(m)
		for i := range 30 {
			out.Answer = append(out.Answer, &dns.TXT{Hdr: header(m.Question[0].Name, dns.TypeTXT), Txt: []string{fmt.Sprintf("%02d%s", i, strings.Repeat("x", 100))}})
		}
		return out
	})
	s := start(t, Config{Settings: Settings{Forwarders: []Forwarder{{Address: long.address}}}})
	for _, test := range []struct {
		what      string
		modifiers []func(*dns.Msg)
		size      int
	}{
		{"without EDNS", nil, 512},
		{"EDNS", []func(*dns.Msg){edns(900)}, 900},
		{"EDNS with too much", []func(*dns.Msg){edns(65000)}, udpSize},
		{"EDNS with too little", []func(*dns.Msg){edns(100)}, 512},
	} {
		got := exchange(t, "udp", s.udp, query("long.test.", dns.TypeTXT, test.modifiers...))
		got.Compress = true // as it was sent
		if !got.Truncated || len(got.Answer) == 30 || got.Len() > test.size {
			t.Errorf("%s: %d bytes, truncated %t, %d records", test.what, got.Len(), got.Truncated, len(got.Answer))
		}
		if (got.IsEdns0() != nil) != (test.modifiers != nil) {
			t.Errorf("%s: the answer's EDNS is %v", test.what, got.IsEdns0())
		}
	}
	if got := exchange(t, "tcp", s.tcp, query("long.test.", dns.TypeTXT)); got.Truncated || len(got.Answer) != 30 {
		t.Errorf("TCP: truncated %t, %d records", got.Truncated, len(got.Answer))
	}
}

func TestNothingOfTheGuestLeavesButItsQuestion(t *testing.T) {
	seen := make(chan *dns.Msg, 1)
	spy := resolver(t, func(m *dns.Msg) *dns.Msg { seen <- m.Copy(); return always("1.1.1.1")(m) })
	s := start(t, Config{Settings: Settings{Forwarders: []Forwarder{{Address: spy.address}}}})
	m := query("www.example.org.", dns.TypeA, func(m *dns.Msg) {
		m.SetEdns0(4096, true)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}}
		m.CheckingDisabled = true
	})
	exchange(t, "udp", s.udp, m)
	got := <-seen
	if opt := got.IsEdns0(); opt == nil || len(opt.Option) != 0 || !opt.Do() || opt.UDPSize() != udpSize || !got.CheckingDisabled || len(got.Extra) != 1 {
		t.Errorf("the resolver is asked %v", got)
	}
}

// TestLoopEnds makes the server its own resolver.
func TestLoopEnds(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	loop := Forwarder{Address: netip.MustParseAddrPort(s.udp)}
	s.Configure(Config{Settings: Settings{Forwarders: []Forwarder{loop}}})
	if got := exchange(t, "udp", s.udp, query("www.example.org.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("the answer is %s", summary(got))
	}
}

func TestQueriesInFlightAreBounded(t *testing.T) {
	release := make(chan struct{})
	slow := resolver(t, func(m *dns.Msg) *dns.Msg { <-release; return always("1.1.1.1")(m) })
	s := start(t, Config{Settings: Settings{Forwarders: []Forwarder{{Address: slow.address}}}})
	for range maxPerClient {
		if !s.inFlight.enter("127.0.0.1") {
			t.Fatal("the bound is reached too early")
		}
	}
	got := exchange(t, "udp", s.udp, query("one-too-many.test.", dns.TypeA))
	if got.Rcode != dns.RcodeRefused || slow.asked.Load() != 0 {
		t.Errorf("one query too many is %s", summary(got))
	}
	s.inFlight.leave("127.0.0.1")
	close(release)
	if got := exchange(t, "udp", s.udp, query("again.test.", dns.TypeA)); summary(got) != "NOERROR 1.1.1.1" {
		t.Errorf("when there is room again the answer is %s", summary(got))
	}
}

func TestLimit(t *testing.T) {
	l := newLimit()
	for i := range maxInFlight {
		if !l.enter(fmt.Sprint(i % 8)) {
			t.Fatalf("query %d of %d is refused", i, maxInFlight)
		}
	}
	if l.enter("new") {
		t.Error("there is no bound on all queries")
	}
	for i := range maxInFlight {
		l.leave(fmt.Sprint(i % 8))
	}
	if len(l.each) != 0 || l.total != 0 {
		t.Errorf("%d queries of %d clients are still counted", l.total, len(l.each))
	}
}

func TestServeEndsBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Config{}).ServeUDP(ctx, conn); err != nil {
		t.Error(err)
	}
	if _, _, err := conn.ReadFrom(make([]byte, 1)); err == nil {
		t.Error("the socket is still open")
	}
}
