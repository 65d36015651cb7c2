package mconsole

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeouts are the limits on each command's answer. Commands that the kernel
// serves in interrupt context answer in under a millisecond even from a busy
// guest; those of its work queue wait for whatever it runs before.
var timeouts = map[string]time.Duration{
	"version": 3 * time.Second,
	"help":    3 * time.Second,
	"halt":    5 * time.Second,
	"reboot":  5 * time.Second,
	"config":  5 * time.Second,
	"remove":  5 * time.Second,
	"sysrq":   10 * time.Second,
	"cad":     3 * time.Second,
	"stop":    5 * time.Second,
	"go":      3 * time.Second,
	"log":     3 * time.Second,
	"proc":    5 * time.Second,
	"stack":   5 * time.Second,
}

const defaultTimeout = 5 * time.Second

// timeout returns the limit on command's answer.
func timeout(command string) time.Duration {
	if d, ok := timeouts[verb(command)]; ok {
		return d
	}
	return defaultTimeout
}

// Version returns the guest's "Linux NODE RELEASE VERSION MACHINE".
func (c *Client) Version(ctx context.Context) (string, error) { return c.Command(ctx, "version") }

// Help returns the kernel's list of commands. The kernel serves it in
// interrupt context, so it answers even when its work queue is stuck.
func (c *Client) Help(ctx context.Context) (string, error) { return c.Command(ctx, "help") }

// Halt ends the guest at once: no sync, no word to its init.
func (c *Client) Halt(ctx context.Context) error { return c.do(ctx, "halt") }

// Reboot restarts the kernel at once, or ends it when it was given noreboot:
// no sync, no word to its init.
func (c *Client) Reboot(ctx context.Context) error { return c.do(ctx, "reboot") }

// CtrlAltDel presses Ctrl-Alt-Del in the guest. An init that did not ask for
// the signal leaves the restart to the kernel, which restarts at once.
func (c *Client) CtrlAltDel(ctx context.Context) error { return c.do(ctx, "cad") }

// Stop halts the guest's execution until Go. Stopping twice is an *Error.
func (c *Client) Stop(ctx context.Context) error { return c.do(ctx, "stop") }

// Go lets a stopped guest go on. Going twice is an *Error.
func (c *Client) Go(ctx context.Context) error { return c.do(ctx, "go") }

// Sysrq sends one sysrq letter and returns what the kernel printed.
func (c *Client) Sysrq(ctx context.Context, letter byte) (string, error) {
	if letter <= ' ' || letter > '~' {
		return "", fmt.Errorf("%w: sysrq %q", ErrBadCommand, letter)
	}
	return c.Command(ctx, "sysrq "+string(rune(letter)))
}

// Proc returns the content of a file of the guest's /proc, named without that
// prefix ("meminfo", "net/dev").
func (c *Client) Proc(ctx context.Context, file string) (string, error) {
	if file == "" || strings.ContainsAny(file, " \n") {
		return "", fmt.Errorf("%w: proc file %q", ErrBadCommand, file)
	}
	text, err := c.Command(ctx, "proc "+file)
	// mconsole_proc starts every answer with a line break of its own.
	return strings.TrimPrefix(text, "\n"), err
}

// Config returns the present configuration of a device such as "con0", "ubd1"
// or "mem".
func (c *Client) Config(ctx context.Context, device string) (string, error) {
	if device == "" || strings.ContainsAny(device, "=: \n") {
		return "", fmt.Errorf("%w: device %q", ErrBadCommand, device)
	}
	return c.Command(ctx, "config "+device)
}

// SetConfig configures a device; setting is the kernel's own form, such as
// "ubd1r=/disk1", "con3=fd:7" or "mem=-64M".
func (c *Client) SetConfig(ctx context.Context, setting string) error {
	if !strings.ContainsAny(setting, "=:") {
		return fmt.Errorf("%w: setting %q names no value", ErrBadCommand, setting)
	}
	return c.do(ctx, "config "+setting)
}

// Remove unplugs a device such as "ubd1". Never remove the kernel's implicit
// ubd0, the root_fs device of a command line without a ubd0: kernel 6.1 oopses.
func (c *Client) Remove(ctx context.Context, device string) error {
	if device == "" || strings.ContainsAny(device, " \n") {
		return fmt.Errorf("%w: device %q", ErrBadCommand, device)
	}
	return c.do(ctx, "remove "+device)
}

// Log writes a line to the guest's kernel log, at level warning.
func (c *Client) Log(ctx context.Context, text string) error { return c.do(ctx, "log "+text) }

// Stack returns the kernel stack of a process of the guest.
func (c *Client) Stack(ctx context.Context, pid int) (string, error) {
	return c.Command(ctx, "stack "+strconv.Itoa(pid))
}

func (c *Client) do(ctx context.Context, command string) error {
	_, err := c.Command(ctx, command)
	return err
}
