package testkit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Events is a running "virsh event --all" or "virsh pool-event".
type Events struct {
	d      *Daemon
	lines  chan string
	stderr bytes.Buffer // whole once lines is closed
}

// sentinel is the domain or pool whose events tell that virsh has registered.
const sentinel = "testkit-sentinel"

// Events runs "virsh event --all --loop" and returns once it has registered:
// from then on no event is missed.
func (d *Daemon) Events() *Events {
	d.t.Helper()
	e := d.events("event", "--all", "--loop")
	d.Define(d.XML(Guest{Name: sentinel}))
	defer d.OK("undefine", sentinel)
	e.awaitRegistration(func(round int) { d.OK("desc", sentinel, "--config", fmt.Sprint("round ", round)) })
	return e
}

// PoolEvents runs "virsh pool-event --loop" for one kind of event, lifecycle
// or refresh, and returns once it has registered.
func (d *Daemon) PoolEvents(kind string) *Events {
	d.t.Helper()
	e := d.events("pool-event", "--event", kind, "--loop")
	target := filepath.Join(d.Dir, sentinel)
	e.awaitRegistration(func(int) {
		d.OK("pool-create-as", sentinel, "dir", "--target", target, "--build")
		d.OK("pool-refresh", sentinel)
		d.OK("pool-destroy", sentinel)
	})
	return e
}

// events runs a virsh that shows events.
func (d *Daemon) events(args ...string) *Events {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := d.command(ctx, "virsh", append([]string{"--connect", d.URI}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	e := &Events{d: d, lines: make(chan string, 1000)}
	cmd.Stderr = &e.stderr
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(e.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			e.lines <- in.Text()
		}
		cmd.Wait()
	})
	d.t.Cleanup(func() {
		cancel()
		reader.Wait()
	})
	return e
}

// awaitRegistration makes events until virsh shows one. virsh itself does not
// say when it has registered.
func (e *Events) awaitRegistration(event func(round int)) {
	e.d.t.Helper()
	deadline := time.Now().Add(Patience)
	for round := 0; time.Now().Before(deadline); round++ {
		event(round)
		select {
		case _, ok := <-e.lines:
			if ok {
				return
			}
			e.d.t.Fatalf("virsh has ended instead of showing events: %s", &e.stderr)
		default:
		}
	}
	e.d.t.Fatalf("virsh has shown no event in %v", Patience)
}

// Await waits for an event line that names domain and contains text, such as
// "Stopped Shutdown", and returns it. Earlier lines are passed over.
func (e *Events) Await(domain, text string) string {
	e.d.t.Helper()
	return e.await(fmt.Sprintf("%q of domain %q", text, domain), func(line string) bool {
		return strings.Contains(line, "'"+domain+"'") && strings.Contains(line, text)
	})
}

// AwaitPool waits for an event line that ends with text, such as
// "storage pool p: Started", and passes earlier lines over.
func (e *Events) AwaitPool(text string) {
	e.d.t.Helper()
	e.await(fmt.Sprintf("%q", text), func(line string) bool { return strings.HasSuffix(line, text) })
}

func (e *Events) await(what string, match func(line string) bool) string {
	e.d.t.Helper()
	deadline := time.After(Patience)
	var seen []string
	for {
		select {
		case line, ok := <-e.lines:
			if !ok {
				e.d.t.Fatalf("virsh event has ended (daemon running: %v); it showed:\n%s\nand said:\n%s",
					e.d.Running(), strings.Join(seen, "\n"), &e.stderr)
			}
			if match(line) {
				return line
			}
			seen = append(seen, line)
		case <-deadline:
			e.d.t.Fatalf("no event %s in %v; there were:\n%s", what, Patience, strings.Join(seen, "\n"))
		}
	}
}
