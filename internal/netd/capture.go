package netd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"virtumld/internal/netswitch"
)

// maxRecords bounds how many frames wait to be written; more are lost to the
// capture, never to the network.
const maxRecords = 4096

// maxNames bounds how many ports a capture tells apart, by their names.
const maxNames = 1 << 16

// record is a frame on its way to the file.
type record struct {
	at    time.Time
	port  *netswitch.Port
	way   netswitch.Direction
	frame []byte
}

// capture writes frames to a file as pcapng, with an interface a port.
type capture struct {
	file    *os.File
	writer  *pcapgo.NgWriter
	records chan record
	untap   func()
	// interfaces are the numbers of the ports that are in the file.
	interfaces map[string]int

	stopOnce sync.Once
	stopping chan struct{}
	// done is closed when the file is closed; err is why, nil for stop.
	done chan struct{}
	err  error
}

// capture begins to write what passes through a port, or all that comes in for
// "". It owns file in any case.
func (s *server) capture(port string, file *os.File) (*capture, error) {
	c := &capture{
		file: pollable(file), records: make(chan record, maxRecords), interfaces: map[string]int{},
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
	c.untap = s.sw.Tap(func(at time.Time, p *netswitch.Port, way netswitch.Direction, frame []byte) {
		if port == "" && way == netswitch.FromDevice || port != "" && s.lines.isPort(port, p) {
			c.take(record{at, p, way, frame})
		}
	})
	go c.run()
	return c, nil
}

// pollable lets writes to a pipe or a socket end when the file is closed.
func pollable(file *os.File) *os.File {
	info, err := file.Stat()
	if err != nil || info.Mode().IsRegular() {
		return file
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return file
	}
	_ = unix.SetNonblock(fd, true) // or writes last until the reader reads
	file.Close()
	return os.NewFile(uintptr(fd), "capture")
}

func (c *capture) take(r record) {
	if len(c.records) == cap(c.records) {
		return
	}
	r.frame = bytes.Clone(r.frame)
	select {
	case c.records <- r:
	default:
	}
}

// stop ends the capture, with what has come so far written, and returns when
// the file is closed. A reader that does not read is not waited for long.
func (c *capture) stop() {
	c.stopOnce.Do(func() {
		c.untap()
		_ = c.file.SetWriteDeadline(time.Now().Add(time.Second)) // of no use on a disk
		close(c.stopping)
	})
	<-c.done
}

// run writes until stop, or until the file takes no more.
func (c *capture) run() {
	defer close(c.done)
	defer c.file.Close()
	defer c.untap()
	if err := c.write(); err != nil {
		c.err = failed(libvirt.ErrWriteFailed, "cannot write the capture: %w", err)
	}
}

func (c *capture) write() error {
	// The first interface says what captured the frames; those of the ports
	// follow as they are met.
	var err error
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "virtumld"}}
	first := pcapgo.NgInterface{Name: "network", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}
	if c.writer, err = pcapgo.NewNgWriterInterface(c.file, first, options); err != nil {
		return err
	}
	for {
		// Somebody may watch: what is there is written before a wait.
		if len(c.records) == 0 {
			if err := c.writer.Flush(); err != nil {
				return err
			}
		}
		select {
		case r := <-c.records:
			if err := c.writeOne(r); err != nil {
				return err
			}
		case <-c.stopping:
			return c.writeRest()
		}
	}
}

func (c *capture) writeRest() error {
	for {
		select {
		case r := <-c.records:
			if err := c.writeOne(r); err != nil {
				return err
			}
		default:
			return c.writer.Flush()
		}
	}
}

func (c *capture) writeOne(r record) error {
	number, err := c.interfaceOf(r.port)
	if err != nil {
		return err
	}
	info := gopacket.CaptureInfo{Timestamp: r.at, CaptureLength: len(r.frame), Length: len(r.frame), InterfaceIndex: number}
	return c.writer.WritePacketWithOptions(info, r.frame, packetOptions(r.way))
}

func (c *capture) interfaceOf(port *netswitch.Port) (int, error) {
	name := port.Config().Name
	if number, known := c.interfaces[name]; known {
		return number, nil
	}
	if len(c.interfaces) >= maxNames {
		return 0, errors.New("too many ports")
	}
	number, err := c.writer.AddInterface(pcapgo.NgInterface{
		Name: name, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9,
	})
	if err != nil {
		return 0, fmt.Errorf("port %s: %w", name, err)
	}
	c.interfaces[name] = number
	return number, nil
}

// packetOptions tells the way of a frame from the view of the port's device.
func packetOptions(way netswitch.Direction) pcapgo.NgPacketOptions {
	direction := pcapgo.NgEpbFlagDirectionOutbound
	if way == netswitch.ToDevice {
		direction = pcapgo.NgEpbFlagDirectionInbound
	}
	return pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: direction}}
}
