package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Key codes of Linux (include/uapi/linux/input-event-codes.h).
const (
	keyLeftAlt, keyRightAlt = 56, 100
	keySysRq                = 99
)

// keyRows are the keys of a keyboard's rows, from the code of the first on.
var keyRows = map[uint32]string{2: "1234567890", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}

// letter is the letter or digit of a key, 0 of any other.
func letter(key uint32) byte {
	for first, row := range keyRows {
		if key >= first && key-first < uint32(len(row)) {
			return row[key-first]
		}
	}
	return 0
}

// DomainSendKey presses Alt, SysRq and letters: each goes to the guest's
// kernel as one magic SysRq command. A guest has no keyboard for other keys.
func (c *Conn) DomainSendKey(ctx context.Context, a *libvirt.DomainSendKeyArgs) error {
	if err := checkFlags(a.Flags, 0, "virDomainSendKey"); err != nil {
		return err
	}
	if libvirt.KeycodeSet(a.Codeset) != libvirt.KeycodeSetLinux {
		return virerr.New(libvirt.ErrOperationUnsupported, "keys of code set %d are not known to a User Mode Linux guest: use the code set linux", a.Codeset)
	}
	letters, err := sysrqLetters(a.Keycodes)
	if err != nil {
		return err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return err
	}
	for _, letter := range letters {
		if err := d.Sysrq(ctx, letter); err != nil {
			return err
		}
	}
	return nil
}

// dumpTasks is the command that prints the stacks of all tasks. Kernel 6.1
// panics over its own ("Segfault with no mm").
const dumpTasks = 't'

// sysrqLetters are the commands of a combination of Alt, SysRq and letters.
func sysrqLetters(keys []uint32) ([]byte, error) {
	var letters []byte
	alt, sysrq := false, false
	for _, key := range keys {
		switch l := letter(key); {
		case key == keyLeftAlt || key == keyRightAlt:
			alt = true
		case key == keySysRq:
			sysrq = true
		case l == dumpTasks:
			return nil, virerr.New(libvirt.ErrOperationUnsupported,
				"KEY_T with KEY_SYSRQ is not sent: User Mode Linux kernels can crash when they print the stacks of all tasks")
		case l != 0:
			letters = append(letters, l)
		default:
			return nil, errKeys()
		}
	}
	if !alt || !sysrq || len(letters) == 0 {
		return nil, errKeys()
	}
	return letters, nil
}

func errKeys() error {
	return virerr.New(libvirt.ErrOperationUnsupported,
		"a User Mode Linux guest has no keyboard: only KEY_LEFTALT KEY_SYSRQ and letters can be sent, "+
			"which are commands to its kernel; for Ctrl-Alt-Del use reboot or shutdown, for text the console")
}

// DomainInjectNmi refuses: there is no NMI, and what one is for, the stacks of
// all tasks, is what dumpTasks would print.
func (c *Conn) DomainInjectNmi(_ context.Context, a *libvirt.DomainInjectNmiArgs) error {
	if err := checkFlags(a.Flags, 0, "virDomainInjectNMI"); err != nil {
		return err
	}
	if _, err := c.findActive(a.Dom); err != nil {
		return err
	}
	return virerr.New(libvirt.ErrOperationUnsupported,
		"a User Mode Linux guest has no NMI; KEY_LEFTALT KEY_SYSRQ KEY_W by send-key prints the stacks of its blocked tasks")
}

// DomainScreenshot refuses: a User Mode Linux guest has no screen.
func (c *Conn) DomainScreenshot(_ context.Context, a *libvirt.DomainScreenshotArgs) (*libvirt.DomainScreenshotRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainScreenshot"); err != nil {
		return nil, err
	}
	if _, err := c.findActive(a.Dom); err != nil {
		return nil, err
	}
	return nil, virerr.New(libvirt.ErrOperationUnsupported, "a User Mode Linux guest has no screen to make a screenshot of; use its console")
}
