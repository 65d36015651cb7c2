package mconsole

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// notification is a packet as mconsole_notify sends it.
func notification(kind NotifyType, text string) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint32(b, version)
	b = order.AppendUint32(b, uint32(kind))
	b = order.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

func TestParseNotify(t *testing.T) {
	tests := []struct {
		packet []byte
		want   Notification
	}{
		{notification(Ready, "/uml/demo/mconsole\x00"), Notification{Ready, "/uml/demo/mconsole"}},
		{notification(Panic, "VFS: Unable to mount root fs\x00"), Notification{Panic, "VFS: Unable to mount root fs"}},
		{notification(Hang, "\x00"), Notification{Hang, ""}},
		{notification(User, "boot finished\n"), Notification{User, "boot finished\n"}},
		{notification(User, strings.Repeat("x", maxData)), Notification{User, strings.Repeat("x", maxData)}},
	}
	for _, tt := range tests {
		if got, err := ParseNotify(tt.packet); err != nil || got != tt.want {
			t.Errorf("%+v, %v; want %+v", got, err, tt.want)
		}
	}
	bad := notification(Ready, "x")
	for name, packet := range map[string][]byte{
		"empty":   nil,
		"short":   bad[:15],
		"cut":     bad[:16],
		"magic":   append([]byte("ERR "), bad[4:]...),
		"version": append(append(bytes.Clone(bad[:4]), 9, 9, 9, 9), bad[8:]...),
		"type":    notification(User+1, ""),
	} {
		if got, err := ParseNotify(packet); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The guest's processes must not be able to hide its panic, nor to block it.
func TestListenerKeepsThePanic(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 40), "notify")
	if _, err := Listen(path); err == nil {
		t.Fatal("a folder that is not there")
	}
	path = filepath.Join(t.TempDir(), "notify")
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	packets := [][]byte{{}, []byte("garbage"), notification(Ready, "/m\x00")}
	for range 10 * notifyBacklog {
		packets = append(packets, notification(User, "flood"))
	}
	for _, packet := range append(packets, notification(Panic, "dead\x00")) {
		if _, err := guest.Write(packet); err != nil { // blocks while the queue is full
			t.Fatal(err)
		}
	}
	var got []Notification
	for notice := range listener.Notifications() {
		got = append(got, notice)
		if notice.Type == Panic {
			break
		}
	}
	if got[0] != (Notification{Ready, "/m"}) || got[len(got)-1] != (Notification{Panic, "dead"}) {
		t.Errorf("first %+v, last %+v", got[0], got[len(got)-1])
	}
	if listener.Dropped() < 2 {
		t.Errorf("%d packets counted as dropped", listener.Dropped())
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	for range listener.Notifications() { // closed at last
	}
	again, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if third, err := Listen(path); err != nil { // takes over from a dead daemon
		t.Error(err)
	} else {
		third.Close()
	}
}

func FuzzParseNotify(f *testing.F) {
	f.Add(notification(Ready, "/uml/demo/mconsole\x00"))
	f.Add(notification(User, ""))
	f.Fuzz(func(t *testing.T, packet []byte) {
		notice, err := ParseNotify(packet)
		if err == nil && len(notice.Text) > len(packet)-notifyHeader {
			t.Fatalf("%d bytes of text from a packet of %d", len(notice.Text), len(packet))
		}
	})
}

func FuzzParseReply(f *testing.F) {
	f.Add(appendReply(nil, 0, "stopped"))
	f.Add(appendReply(nil, -22, ""))
	f.Add([]byte("ERR Version 0 mconsole clients are not supported by this driver"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		part, err := parseReply(packet)
		if err == nil && len(part.data) > len(packet)-replyHeader {
			t.Fatalf("%d bytes of text from a packet of %d", len(part.data), len(packet))
		}
	})
}
