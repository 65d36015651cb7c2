package network

import (
	"context"
	"time"
)

const (
	// steadyAfter is how long a process must last to count as a success.
	steadyAfter = 10 * time.Second
	longestWait = 30 * time.Second
	// startLimit is how long a start may take for which no client waits.
	startLimit = time.Minute
)

// watch starts the process of an active network anew when it dies.
type watch struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when the watch has ended
	// process is guarded by Networks.mu; nil while there is none.
	process Process
}

// startWatch watches n's process, nil for one that must be started first.
func (s *Networks) startWatch(n *network, process Process) {
	ctx, cancel := context.WithCancel(s.life)
	w := &watch{cancel: cancel, ended: make(chan struct{}), process: process}
	s.mu.Lock()
	n.watch = w
	s.mu.Unlock()
	s.watching.Go(func() {
		defer close(w.ended)
		s.keepRunning(ctx, n, w)
	})
}

// stopWatch ends the watch of n and returns the process, if there is one. The
// caller has n's turn.
func (s *Networks) stopWatch(n *network) Process {
	s.mu.Lock()
	w := n.watch
	n.watch = nil
	s.mu.Unlock()
	if w == nil {
		return nil
	}
	w.cancel()
	<-w.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.process
}

// keepRunning starts the process whenever there is none, until ctx ends.
func (s *Networks) keepRunning(ctx context.Context, n *network, w *watch) {
	failures := 0
	for ctx.Err() == nil {
		s.mu.Lock()
		process := w.process
		s.mu.Unlock()
		begin := time.Now()
		if process != nil {
			select {
			case <-process.Done():
			case <-ctx.Done():
				return
			}
			s.cfg.Log.Error("network has lost its process, which is started again", "network", n.spec.Name)
		}
		if time.Since(begin) >= steadyAfter {
			failures = 0
		}
		if !pause(ctx, waitAfter(failures)) {
			return
		}
		failures++
		if err := s.restart(ctx, n, w); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("cannot start the process of network again", "network", n.spec.Name, "error", err)
		}
	}
}

// waitAfter is how long to wait after so many failures in a row: not at all the
// first time, then 1 s, 2 s, 4 s and so on.
func waitAfter(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(time.Second<<min(failures-1, 10), longestWait)
}

// pause waits; false says that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// restart starts n's process in n's turn, so that nobody changes the definition
// meanwhile.
func (s *Networks) restart(ctx context.Context, n *network, w *watch) error {
	if err := s.wait(ctx, n); err != nil {
		return err
	}
	defer s.settle(n)
	s.mu.Lock()
	def := n.live
	w.process = nil
	s.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	process, err := s.startProcess(limited, n, def)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.process = process
	return nil
}
