package nic

import (
	"errors"
	"os"
	"time"

	"virtumld/internal/netswitch"
)

// drain throws away what the guest sends while it is plugged in nowhere, as a
// cable does that leads nowhere.
type drain struct {
	file *os.File
	// closed is closed when the guest has closed its end.
	closed chan struct{}
	ended  chan struct{}
}

func startDrain(c *cable) (*drain, error) {
	file, err := c.copy()
	if err != nil {
		return nil, err
	}
	d := &drain{file: file, closed: make(chan struct{}), ended: make(chan struct{})}
	go d.run()
	return d, nil
}

func (d *drain) run() {
	defer close(d.ended)
	frame := make([]byte, netswitch.MaxFrame)
	for {
		_, err := d.file.Read(frame)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		default:
			close(d.closed)
			return
		}
	}
}

// stop ends the drain and leaves the rest of what comes to others.
func (d *drain) stop() {
	_ = d.file.SetReadDeadline(time.Unix(1, 0))
	<-d.ended
	d.file.Close()
}
