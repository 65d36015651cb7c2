package dhcp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestLeasesSurviveRestart(t *testing.T) {
	cfg := config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")})
	cfg.LeaseFile = filepath.Join(t.TempDir(), "leases.json")
	s := open(t, cfg)
	a := lease4(t, s, start, macA, named("web"), withID(1, 2, 3))
	lease4(t, s, start, macB)
	want := s.Leases(start)

	// The first server is not closed: it was killed.
	again := open(t, cfg)
	if got := again.Leases(start); !slices.Equal(got, want) {
		t.Errorf("after a restart the leases are %+v, want %+v", got, want)
	}
	m, _ := ask(t, again, start, packet4(t, dhcpv4.MessageTypeRequest, macA, withID(1, 2, 3), dhcpv4.WithClientIP(a.AsSlice())))
	if m == nil || m.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("a renewal after the restart is answered with %v", m)
	}
	if got := lease4(t, again, start.Add(48*time.Hour), macA, withID(1, 2, 3)); got != a {
		t.Errorf("two days later the guest gets %s, not its %s", got, a)
	}
	if left, _ := filepath.Glob(cfg.LeaseFile + ".*"); left != nil {
		t.Errorf("files are left: %v", left)
	}
}

func TestBadLeaseFileIsPutAside(t *testing.T) {
	for what, text := range map[string]string{
		"no JSON":         "{",
		"empty":           "",
		"another version": `{"Version":7}`,
		"no address":      `{"Version":1,"Leases":[{"MAC":"x"}]}`,
		"bad address":     `{"Version":1,"Leases":[{"Address":"x"}]}`,
	} {
		t.Run(what, func(t *testing.T) {
			cfg := config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")})
			cfg.LeaseFile = filepath.Join(t.TempDir(), "leases.json")
			if err := os.WriteFile(cfg.LeaseFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, cfg)
			if kept, err := os.ReadFile(cfg.LeaseFile + ".bad"); err != nil || string(kept) != text {
				t.Errorf("the bad file is kept as %q, %v", kept, err)
			}
			if !lease4(t, s, start, macA).IsValid() {
				t.Error("no lease")
			}
			if text, err := os.ReadFile(cfg.LeaseFile); err != nil || !strings.Contains(string(text), macA.String()) {
				t.Errorf("the new file is %q, %v", text, err)
			}
		})
	}
}

func TestUnreadableLeaseFileIsAnError(t *testing.T) {
	cfg := config4(t, Settings{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.LeaseFile = filepath.Join(file, "leases.json")
	if _, err := Open(cfg); err == nil {
		t.Error("no error")
	}
}

func TestWritesAreLimitedAndNothingIsLost(t *testing.T) {
	cfg := config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.250")})
	cfg.LeaseFile = filepath.Join(t.TempDir(), "leases.json")
	s := open(t, cfg)
	for i := range 2 * saveBurst {
		mac := slices.Clone(macA)
		mac[4] = byte(i)
		lease4(t, s, start, mac)
	}
	if !s.dirty {
		t.Error("every change of one moment is written")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(open(t, cfg).Leases(start)); got != 2*saveBurst {
		t.Errorf("after Close %d leases are kept, want %d", got, 2*saveBurst)
	}
}

func TestConfigureKeepsWhatFits(t *testing.T) {
	cfg := config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")})
	s := open(t, cfg)
	a, b := lease4(t, s, start, macA, wants("192.168.122.10")), lease4(t, s, start, macB, wants("192.168.122.20"))
	cfg = config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.15")})
	if err := s.Configure(cfg); err != nil {
		t.Fatal(err)
	}
	if got := s.Leases(start); len(got) != 1 || got[0].Address != a {
		t.Errorf("the leases are %+v", got)
	}
	if m, _ := ask(t, s, start, packet4(t, dhcpv4.MessageTypeRequest, macB, dhcpv4.WithClientIP(b.AsSlice()))); m == nil || m.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("a renewal of what is no longer in the range is answered with %v", m)
	}
	cfg.Subnets[0].DHCP.Hosts = []Host{{MAC: macA.String(), Address: addr("192.168.122.70")}}
	if err := s.Configure(cfg); err != nil {
		t.Fatal(err)
	}
	if m, _ := ask(t, s, start, packet4(t, dhcpv4.MessageTypeRequest, macA, dhcpv4.WithClientIP(a.AsSlice()))); m == nil || m.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("a renewal of a guest that has a new address is answered with %v", m)
	}
	if got := lease4(t, s, start, macA); got != addr("192.168.122.70") {
		t.Errorf("the guest gets %s, want its new address", got)
	}
}
