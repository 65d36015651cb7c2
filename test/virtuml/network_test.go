package virtuml

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// patience bounds what a busy machine may take.
const patience = 5 * time.Minute

// A guest of --net user has an address, a route and a resolver, reaches the
// host's own servers but not those of its loopback.
func TestRunNetwork(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		outside, inside := greeter(t, hostAddress(t)), greeter(t, "127.0.0.1")
		r := run(d, "--rm", "--net", "user", "bb.img", "sh", "-c", fmt.Sprintf(`
			ip -4 -o addr show dev vec0 | sed 's/.*inet //; s/ .*//'
			ip route | grep default | cut -d ' ' -f 1-5
			cat /etc/resolv.conf
			wget -q -O - http://%s/
			for loopback in %s 10.0.2.2:%s; do wget -q -T 5 -O - http://$loopback/ 2>/dev/null && echo reached $loopback; done
			true
			`, outside, inside, inside[strings.LastIndexByte(inside, ':')+1:]))
		want := "10.0.2.15/24\ndefault via 10.0.2.2 dev vec0\nnameserver 10.0.2.2\n" + greeting
		if r.Code != 0 || r.Stdout != want || r.Stderr != "" {
			t.Errorf("%d, %q, %q, want %q", r.Code, r.Stdout, r.Stderr, want)
		}
		nothing(t, d, folder)
	})
}

// The host fetches from a guest by a forwarded port.
func TestRunPublish(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		every, one := testkit.FreePort(t), testkit.FreePort(t)
		done := make(chan testkit.Result, 1)
		go func() {
			done <- run(d, "--rm", "--name", "web", "--net", "user",
				"-p", fmt.Sprint(every, ":80"), "-p", fmt.Sprint("127.0.0.1:", one, ":80"),
				"bb.img", "sh", "-c", "mkdir /www && echo page >/www/index.html && exec httpd -f -p 80 -h /www")
		}()
		host := hostAddress(t)
		for _, address := range []string{fmt.Sprint("127.0.0.1:", every), fmt.Sprint(host, ":", every), fmt.Sprint("127.0.0.1:", one)} {
			if got := fetch(t, address); got != "page\n" {
				t.Errorf("http://%s/ is %q", address, got)
			}
		}
		if conn, err := net.Dial("tcp", fmt.Sprint(host, ":", one)); err == nil {
			conn.Close()
			t.Errorf("the port of 127.0.0.1 is open on %s, too", host)
		}
		d.OK("destroy", "web")
		if r := <-done; r.Code != 137 {
			t.Errorf("after destroy: %d, %q, %q", r.Code, r.Stdout, r.Stderr)
		}
		nothing(t, d, folder)
	})
}

// An image that is started as a domain gets its address as well; without a
// server of DHCP its command starts all the same.
func TestInitAlone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := prepare(t, d)
		for name, device := range map[string]string{
			"user": "<interface type='user'/>",
			"bare": fmt.Sprintf("<interface type='mcast'><source address='230.0.0.9' port='%d'/></interface>", testkit.FreePort(t)),
		} {
			d.OK("vol-clone", "bb.img", name+".img", "--pool", "default")
			document := d.XML(testkit.Guest{Name: name, Disk: filepath.Join(folder, name+".img"), Devices: device})
			d.Define(strings.Replace(document, "</kernel>", "</kernel><cmdline>init=/.virtuml/init</cmdline>", 1))
			d.OK("start", "--paused", name)
			d.DestroyLater(name)
			console := d.Console(name)
			d.OK("resume", name)
			said := console.Expect(`(?s)(vec0 has no address.*)?from the image`)
			if (said[1] != "") != (name == "bare") {
				t.Errorf("%s: the guest says %q", name, said[0])
			}
		}
	})
}

// fetch gets a page from a guest that may not listen yet.
func fetch(t *testing.T, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			page, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil {
				return string(page)
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("http://%s/: %v", address, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const greeting = "hello from the host"

// greeter serves the greeting on ip and returns its address.
func greeter(t *testing.T, ip string) string {
	t.Helper()
	listener, err := net.Listen("tcp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, greeting) })}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

// hostAddress is an IPv4 address of the host beside its loopback's.
func hostAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Fatal("the host has no IPv4 address but its loopback's")
	return ""
}
