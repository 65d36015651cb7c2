package dispatch

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

func TestKeepalive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pings, dead atomic.Int32
		k := newKeepalive(5*time.Second, 2, func() { pings.Add(1) }, func() { dead.Add(1) })
		after := func(d time.Duration, wantPings, wantDead int32) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if pings.Load() != wantPings || dead.Load() != wantDead {
				t.Fatalf("%d pings, dead %d times; want %d and %d", pings.Load(), dead.Load(), wantPings, wantDead)
			}
		}
		after(time.Hour, 0, 0) // not started
		k.start()
		k.start()
		for range 10 {
			k.heard()
			after(5*time.Second, 0, 0)
		}
		after(5*time.Second, 1, 0)
		k.heard() // an answer: the count begins again
		after(5*time.Second, 1, 0)
		after(5*time.Second, 2, 0)
		after(5*time.Second, 3, 0)
		after(5*time.Second, 3, 1)
		after(time.Hour, 3, 1)
		k.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		k := newKeepalive(time.Second, 1, func() { t.Error("pinged") }, func() { t.Error("dead") })
		k.start()
		k.stop()
		k.start()
		time.Sleep(time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		k := newKeepalive(-1, 1, func() { t.Error("pinged") }, func() { t.Error("dead") })
		k.start()
		time.Sleep(time.Minute)
	})
}

// A client that asked for keepalive is pinged, lives on while it answers and
// is disconnected when it does not.
func TestSilentClientIsPinged(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{KeepaliveInterval: 10 * time.Millisecond, KeepaliveCount: 3})
	c := server.dial(t)
	c.must(proto.ConnectSupportsFeature, &libvirt.ConnectSupportsFeatureArgs{Feature: proto.FeatureProgramKeepalive},
		new(libvirt.ConnectSupportsFeatureRet))
	for range 10 {
		if h, _ := c.next(); h != keepaliveHeader(proto.KeepalivePing) {
			t.Fatalf("got %+v, want a ping", h)
		}
		c.send(keepaliveHeader(proto.KeepalivePong), nil)
	}
	pings := 0
	for {
		h, _, err := c.reader.Next()
		if err != nil {
			if isTimeout(err) {
				t.Fatal("the connection stays open")
			}
			break
		}
		if h.Type == wire.Message {
			pings++
		}
	}
	if pings < 3 {
		t.Errorf("disconnected after %d pings", pings)
	}
}
