package console

import (
	"fmt"
	"io"
	"os"
	"time"

	"virtumld/internal/domxml"
)

// Open makes the line of a <console> or <serial>. guestLog is where the
// output of a stdio source goes; spoke is called, from another goroutine, at
// each boot's first output.
func Open(name string, dev domxml.Chardev, guestLog io.Writer, spoke func()) (*Line, error) {
	var log io.WriteCloser
	if dev.LogFile != "" {
		l, err := OpenLog(dev.LogFile, dev.LogAppend)
		if err != nil {
			return nil, hostError(name, "open the log file", dev.LogFile, err)
		}
		log = l
	}
	src, err := openSource(name, dev, guestLog)
	if err != nil {
		if log != nil {
			log.Close()
		}
		return nil, err
	}
	return newLine(name, src, log, spoke), nil
}

func openSource(name string, dev domxml.Chardev, guestLog io.Writer) (source, error) {
	switch dev.Type {
	case domxml.ChardevPTY:
		return openPTY(name)
	case domxml.ChardevTCP:
		return listenTCP(name, dev.Host, dev.Service)
	case domxml.ChardevUnix:
		return listenUnix(name, dev.Path)
	case domxml.ChardevDev:
		return openDevice(name, dev.Path)
	case domxml.ChardevFile:
		return openFile(name, dev.Path, dev.Append)
	case domxml.ChardevNull:
		return sink{io.Discard}, nil
	case domxml.ChardevStdio:
		return sink{guestLog}, nil
	default:
		return nil, fmt.Errorf("line %s: source type '%s' cannot be served", name, dev.Type)
	}
}

// sink is a source that only takes output.
type sink struct{ io.Writer }

func (sink) serve(io.Writer)      {}
func (sink) settle(time.Duration) {}

func (s sink) stop() {
	if c, ok := s.Writer.(*os.File); ok {
		c.Close()
	}
}

func openFile(name, path string, keep bool) (source, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if !keep {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, hostError(name, "open", path, err)
	}
	return sink{f}, nil
}
