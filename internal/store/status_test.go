package store

import (
	"os"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

var sample = Status{
	Name:       "demo",
	State:      libvirt.DomainRunning,
	Reason:     int32(libvirt.DomainRunningBooted),
	PID:        4711,
	ID:         7,
	Persistent: true,
	Document:   "<domain type='uml' id='7'>\n  <name>demo</name>\n  <metadata><x:y xmlns:x='urn:x'>&amp;</x:y></metadata>\n</domain>",
}

func TestStatusRoundTrip(t *testing.T) {
	s := open(t)
	second := sample
	second.Name, second.State, second.Reason = "..", libvirt.DomainPaused, int32(libvirt.DomainPausedStartingUp)
	second.ID, second.Autodestroy, second.Persistent = 8, true, false
	must(t, s.SaveStatus(sample))
	must(t, s.SaveStatus(second))

	got, problems, err := reopen(t, s).LoadStatuses(t.Context())
	if err != nil || len(problems) != 0 {
		t.Fatal(err, problems)
	}
	if len(got) != 2 || got[0] != second || got[1] != sample {
		t.Errorf("read %+v\nwant %+v\nand %+v", got, second, sample)
	}

	must(t, s.RemoveStatus("demo"))
	must(t, s.RemoveStatus("demo"))
	if got, _, _ := s.LoadStatuses(t.Context()); len(got) != 1 {
		t.Errorf("after RemoveStatus: %+v", got)
	}
}

// The file has libvirt's shape: the state, reason and pid that other tools
// look for, and the whole <domain> inside.
func TestStatusFile(t *testing.T) {
	s := open(t)
	must(t, s.SaveStatus(sample))
	data, err := os.ReadFile(s.state.Join("demo.xml"))
	must(t, err)
	want, err := os.ReadFile("testdata/status.xml")
	must(t, err)
	if string(data) != string(want) {
		t.Errorf("status file:\n%s\nwant:\n%s", data, want)
	}
}

func TestEveryStateAndReasonHasAName(t *testing.T) {
	for state, names := range reasons {
		for reason := range names {
			stateName, reasonName, err := stateNames(state, int32(reason))
			if err != nil {
				t.Error(err)
			}
			gotState, gotReason, err := stateNumbers(stateName, reasonName)
			if err != nil || gotState != state || gotReason != int32(reason) {
				t.Errorf("%s/%s is read as %d/%d (%v), want %d/%d", stateName, reasonName, gotState, gotReason, err, state, reason)
			}
		}
	}
	if len(reasons) != len(states) {
		t.Errorf("%d states have reasons, want %d", len(reasons), len(states))
	}
}

func TestStatusRefused(t *testing.T) {
	good, err := encodeStatus(sample)
	must(t, err)
	for name, data := range map[string]string{
		"empty":          "",
		"not XML":        "\x00",
		"other root":     "<domain/>",
		"no domain":      strings.ReplaceAll(string(good), "domain", "dom"),
		"unknown state":  strings.Replace(string(good), `'running'`, `"jogging"`, 1),
		"unknown reason": strings.Replace(string(good), `'booted'`, `"panicked"`, 1),
		"pid no number":  strings.Replace(string(good), `'4711'`, `"x"`, 1),
		"pid negative":   strings.Replace(string(good), `'4711'`, `"-1"`, 1),
		"cut":            string(good[:len(good)-5]),
		"entity":         strings.Replace(string(good), "&amp;</x:y>", "&bomb;</x:y>", 1),
	} {
		if status, err := decodeStatus([]byte(data)); err == nil {
			t.Errorf("%s: read as %+v, want an error", name, status)
		}
	}
	for _, bad := range []Status{{State: 99}, {State: -1}, {State: libvirt.DomainRunning, Reason: 99}, {Reason: -1}} {
		bad.Name = "x"
		if err := open(t).SaveStatus(bad); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
}

func FuzzDecodeStatus(f *testing.F) {
	good, err := encodeStatus(sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("<domstatus state='running' reason='booted' pid='1'><uml/><domain/></domstatus>"))
	f.Add([]byte("<domstatus state='paused' reason='user' pid='0'><a><domain/></a><domain>&#x41;</domain></domstatus>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		status, err := decodeStatus(data)
		if err != nil {
			return
		}
		again, err := encodeStatus(status)
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", status, err)
		}
		got, err := decodeStatus(again)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", again, err)
		}
		if got != status {
			t.Errorf("%+v became %+v", status, got)
		}
	})
}
