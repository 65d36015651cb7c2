package cmdline

import (
	"strconv"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
)

// firstDescriptor is the descriptor of Channels[0].
const firstDescriptor = 3

// lines puts every console and serial line on a descriptor. The kernel's
// defaults for the others start terminals on the host, so they are null first.
func (b *builder) lines() error {
	b.arg("con=null")
	b.arg("ssl=null")
	b.channel(b.console())
	for _, dev := range b.def.Chardevs {
		if isConsole(dev) || dev.Duplicate || unused(dev) {
			continue
		}
		b.channel(dev)
	}
	b.kernelConsoles()
	return nil
}

// console is the definition's con0, or one of our own.
func (b *builder) console() domxml.Chardev {
	for _, dev := range b.def.Chardevs {
		if isConsole(dev) && !dev.Duplicate {
			return dev
		}
	}
	return domxml.Chardev{Type: domxml.ChardevNull}
}

// kernelConsoles names where the kernel's messages go: always to con0, where
// the supervisor reads the last of them, whatever the user's own words add.
// The last is /dev/console: a guest with serial lines alone gets it there.
func (b *builder) kernelConsoles() {
	b.arg("console=tty0")
	serial := -1
	for _, dev := range b.def.Chardevs {
		if !dev.Serial && !dev.Duplicate {
			return
		}
		if dev.Serial && serial < 0 && !unused(dev) {
			serial = dev.Port
		}
	}
	if serial >= 0 {
		b.arg("console=ttyS", strconv.Itoa(serial))
	}
}

func (b *builder) channel(dev domxml.Chardev) {
	descriptor := firstDescriptor + len(b.line.Channels)
	b.arg(dev.Line(), "=fd:", strconv.Itoa(descriptor))
	b.line.Channels = append(b.line.Channels, supervisor.Channel{Line: dev.Line(), Chardev: dev})
}

func isConsole(dev domxml.Chardev) bool { return !dev.Serial && dev.Port == 0 }

// unused says that nobody reads or writes the line, so that the kernel's own
// null serves.
func unused(dev domxml.Chardev) bool {
	return dev.Type == domxml.ChardevNull && dev.LogFile == ""
}
