package nic

import "sync"

// children are the processes that were started here, so that what ends the
// guest's processes can tell them apart.
type children struct {
	// starting is held for reading during a start: its child exists before
	// its pid is known here.
	starting sync.RWMutex
	mu       sync.Mutex
	pids     map[int]bool
}

func (c *children) start(start func() (Process, error)) (Process, error) {
	c.starting.RLock()
	defer c.starting.RUnlock()
	process, err := start()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pids == nil {
		c.pids = make(map[int]bool)
	}
	c.pids[process.PID()] = true
	return process, nil
}

func (c *children) forget(process Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pids, process.PID())
}

// list calls use with the pids while none is being started.
func (c *children) list(use func(pids map[int]bool)) {
	c.starting.Lock()
	defer c.starting.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	use(c.pids)
}
