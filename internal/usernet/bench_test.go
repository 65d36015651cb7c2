package usernet

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// BenchmarkTCP carries a stream through the link: both stacks, the guest's
// too, run in this process.
func BenchmarkTCP(b *testing.B) {
	for _, mtu := range []int{1500, 65520} {
		b.Run(fmt.Sprintf("guest-to-host/mtu=%d", mtu), func(b *testing.B) { benchmark(b, mtu, true) })
		b.Run(fmt.Sprintf("host-to-guest/mtu=%d", mtu), func(b *testing.B) { benchmark(b, mtu, false) })
	}
}

func benchmark(b *testing.B, mtu int, toHost bool) {
	cfg := testConfig()
	cfg.MTU = mtu
	one := newGuest(b, newGateway(b, cfg))
	chunk := make([]byte, 1<<20)
	done := make(chan error, 1)
	at := hostListener(b, outsideAddr(b), func(c *net.TCPConn) { done <- stream(c, chunk, b.N, !toHost) })
	conn, err := one.dial(at)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.SetBytes(int64(len(chunk)))
	b.ResetTimer()
	if err := stream(conn, chunk, b.N, toHost); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// stream sends n chunks, or takes them.
func stream(c net.Conn, chunk []byte, n int, send bool) error {
	if !send {
		_, err := io.CopyN(io.Discard, c, int64(n)*int64(len(chunk)))
		return err
	}
	for range n {
		if _, err := c.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}
