package usernet

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// noise is size bytes that repeat nowhere near.
func noise(size int) []byte {
	out := make([]byte, size)
	source := rand.NewChaCha8([32]byte{7})
	source.Read(out)
	return out
}

func TestTCPCarriesDataBothWaysWithHalfClose(t *testing.T) {
	for _, mtu := range []int{1500, 65520} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			cfg := testConfig()
			cfg.MTU = mtu
			one := newGuest(t, newGateway(t, cfg))
			at := hostListener(t, outsideAddr(t), echo)
			conn, err := one.dial(at)
			if err != nil {
				t.Fatal(err)
			}
			data := noise(4 << 20)
			var sent sync.WaitGroup
			sent.Go(func() {
				conn.Write(data)
				conn.CloseWrite()
			})
			var sum hash.Hash = sha256.New()
			mustEnd(t, "reading back", func() error {
				_, err := io.Copy(sum, conn)
				return err
			})
			sent.Wait()
			if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Fatal(errDiffers)
			}
		})
	}
}

// TestHalfCloseFromOutside: the host ends its side first, and still gets what
// the guest sends after that.
func TestHalfCloseFromOutside(t *testing.T) {
	one := newGuest(t, newGateway(t, testConfig()))
	got := make(chan string, 1)
	at := hostListener(t, outsideAddr(t), func(c *net.TCPConn) {
		c.Write([]byte("first"))
		c.CloseWrite()
		rest, _ := io.ReadAll(c)
		got <- string(rest)
	})
	conn, err := one.dial(at)
	if err != nil {
		t.Fatal(err)
	}
	mustEnd(t, "the exchange", func() error {
		first, err := io.ReadAll(conn)
		if err != nil || string(first) != "first" {
			return fmt.Errorf("the guest has read %q, %w", first, err)
		}
		conn.Write([]byte("second"))
		conn.CloseWrite()
		if rest := <-got; rest != "second" {
			return fmt.Errorf("the host has read %q", rest)
		}
		return nil
	})
}

func TestRefusedOutsideIsRefusedInside(t *testing.T) {
	one := newGuest(t, newGateway(t, testConfig()))
	a := outsideAddr(t)
	l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	if _, err := one.dial(at); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("the guest's connection to a closed port: %v", err)
	}
}

// TestResetIsPassedOn: what fails outside fails inside, and the other way.
func TestResetIsPassedOn(t *testing.T) {
	one := newGuest(t, newGateway(t, testConfig()))
	seen := make(chan error, 1)
	at := hostListener(t, outsideAddr(t), func(c *net.TCPConn) {
		b := make([]byte, 1)
		_, err := c.Read(b)
		if b[0] == 'r' {
			c.SetLinger(0)
			return
		}
		if err == nil { // the reset may come before the data
			_, err = c.Read(b)
		}
		seen <- err
	})
	conn, err := one.dial(at)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("r"))
	mustEnd(t, "the guest's reading", func() error {
		if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
			return fmt.Errorf("a reset outside is %v inside", err)
		}
		return nil
	})
	g2, err := one.dial(at)
	if err != nil {
		t.Fatal(err)
	}
	g2.Write([]byte("x"))
	mustEnd(t, "the host's reading", func() error {
		for _, e := range one.stack.RegisteredEndpoints() {
			e.Abort()
		}
		if err := <-seen; err == nil || err == io.EOF {
			return fmt.Errorf("a reset inside is %v outside", err)
		}
		return nil
	})
}

func TestThousandShortConnections(t *testing.T) {
	g := newGateway(t, testConfig())
	one := newGuest(t, g)
	at := hostListener(t, outsideAddr(t), echo)
	work := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := range work {
				if err := exchange(one, at, fmt.Sprintf("number %d", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 1000 {
		work <- i
	}
	close(work)
	workers.Wait()
	mustEnd(t, "the end of all connections", func() error { return noneUsed(g) })
}

// exchange sends a text and wants it back.
func exchange(one *guest, at netip.AddrPort, text string) error {
	conn, err := one.dial(at)
	if err != nil {
		return err
	}
	defer conn.Close()
	return sameBack(conn, text)
}

func sameBack(conn *gonet.TCPConn, text string) error {
	if _, err := conn.Write([]byte(text)); err != nil {
		return err
	}
	conn.CloseWrite()
	back, err := io.ReadAll(conn)
	if err == nil && string(back) != text {
		err = errDiffers
	}
	return err
}
