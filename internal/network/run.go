package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/networkxml"
)

// stopLimit is how long the end of a network's process is waited for.
const stopLimit = 30 * time.Second

// Start makes an inactive network active.
func (s *Networks) Start(ctx context.Context, spec Spec) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	def, active := n.config, n.active()
	s.mu.Unlock()
	if active {
		return failf(libvirt.ErrOperationInvalid, "network is already active")
	}
	if err := checkLoaded(def); err != nil {
		return err
	}
	return s.bringUp(ctx, n, def)
}

// checkLoaded refuses what somebody has written into a file by hand.
func checkLoaded(def *networkxml.Network) error {
	if err := check(def); err != nil {
		return err
	}
	if def.Forward.Mode.Virtual() && (def.Bridge.Name == "" || strings.Contains(def.Bridge.Name, "%d")) {
		return failf(libvirt.ErrInternalError, "network '%s' has no bridge name defined", def.Name)
	}
	return nil
}

// Create starts a network that is gone when it is destroyed; one that is
// defined gets its own definition back then.
func (s *Networks) Create(ctx context.Context, document string, validate bool) (View, error) {
	def, err := parse(document, validate)
	if err != nil {
		return View{}, err
	}
	n, done, err := s.admit(ctx, def)
	if err != nil {
		return View{}, err
	}
	defer done()
	s.mu.Lock()
	active := n.active()
	s.mu.Unlock()
	if active {
		return View{}, failf(libvirt.ErrOperationInvalid, "network is already active as '%s'", def.Name)
	}
	if err := s.bringUp(ctx, n, def); err != nil {
		return View{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.view(), nil
}

// bringUp makes n active with the definition def. The caller has n's turn. The
// state file comes first: a daemon that is killed in between finds it, and with
// it the process.
func (s *Networks) bringUp(ctx context.Context, n *network, def *networkxml.Network) error {
	if err := s.reserve(n, def); err != nil {
		return err
	}
	if err := s.saveState(def); err != nil {
		return err
	}
	process, err := s.startProcess(ctx, n, def)
	if err != nil {
		s.removeState(n.spec.Name)
		return err
	}
	s.mu.Lock()
	n.live, n.hidden = def, false
	s.emit(n, libvirt.NetworkEventStarted)
	s.mu.Unlock()
	if process != nil {
		s.startWatch(n, process)
	}
	return nil
}

// reserve takes def's networks, which no other active network may have: as in
// libvirt, where the host's routes would clash.
func (s *Networks) reserve(n *network, def *networkxml.Network) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.byUUID {
		taken := other.live
		if taken == nil && other.starting {
			taken = other.pending
		}
		if other != n && taken != nil && overlap(def, taken) {
			return failf(libvirt.ErrInternalError, "Network is already in use by interface %s (network '%s')", taken.Bridge.Name, taken.Name)
		}
	}
	n.pending, n.starting = def, true
	return nil
}

func overlap(a, b *networkxml.Network) bool {
	for i := range a.IPs {
		for j := range b.IPs {
			if a.IPs[i].Gateway().Overlaps(b.IPs[j].Gateway()) {
				return true
			}
		}
	}
	return false
}

// startProcess starts the process of a network that has one.
func (s *Networks) startProcess(ctx context.Context, n *network, def *networkxml.Network) (Process, error) {
	if !def.Forward.Mode.Virtual() {
		return nil, nil
	}
	// One may be left of a network that a killed daemon was destroying.
	if left, err := s.cfg.Processes.Find(ctx, s.dir(n.spec)); err == nil {
		if err := left.Stop(ctx); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("network '%s': %w", n.spec.Name, err)
	}
	process := s.process(def)
	if process.Gateway != nil {
		if err := os.MkdirAll(filepath.Dir(process.Gateway.LeaseFile), 0o700); err != nil {
			return nil, failf(libvirt.ErrSystemError, "cannot make the folder of the leases of network '%s': %w", def.Name, err)
		}
	}
	return s.cfg.Processes.Start(ctx, process)
}

// Destroy makes an active network inactive; a transient one is gone then. Its
// guests lose their links.
func (s *Networks) Destroy(ctx context.Context, spec Spec) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	active := n.active()
	s.mu.Unlock()
	if !active {
		return errInactive(n.spec.Name)
	}
	// What was begun is finished, whether or not the client waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if process := s.stopWatch(n); process != nil {
		if err := process.Stop(ctx); err != nil {
			s.startWatch(n, process)
			return fmt.Errorf("network '%s': %w", n.spec.Name, err)
		}
	}
	s.removeFolder(n.spec)
	s.removeState(n.spec.Name)
	s.mu.Lock()
	persistent := n.persistent() // only who has the turn changes it
	s.mu.Unlock()
	if !persistent {
		s.removeLeases(n.spec)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.live = nil
	s.emit(n, libvirt.NetworkEventStopped)
	if !persistent {
		s.forget(n)
	}
	return nil
}

// removeFolder removes the folder of a process that has ended.
func (s *Networks) removeFolder(spec Spec) {
	if err := os.RemoveAll(s.dir(spec)); err != nil {
		s.cfg.Log.Warn("network: folder stays", "network", spec.Name, "error", err)
	}
}
