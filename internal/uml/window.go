package uml

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/mconsole"
	"virtumld/internal/virerr"
)

// silence is for how long a guest that did not answer is not asked again.
const silence = 5 * time.Second

// window looks into a guest through its management console.
type window struct {
	console *mconsole.Client

	mu     sync.Mutex // guards: silent
	silent time.Time  // until when the guest is not asked
}

// proc reads a file of the guest's /proc.
func (w *window) proc(ctx context.Context, file string) (string, error) {
	if w.isSilent() {
		return "", domain.ErrNoAnswer("it did not answer a moment ago")
	}
	text, err := w.console.Proc(ctx, file)
	if errors.Is(err, mconsole.ErrTimeout) {
		w.mu.Lock()
		w.silent = time.Now().Add(silence)
		w.mu.Unlock()
	}
	var refusal *mconsole.Error
	if errors.As(err, &refusal) {
		return "", virerr.New(libvirt.ErrOperationFailed, "%w: /proc/%s (%v)", domain.ErrNoFile, file, err)
	}
	return text, asVirerr(err)
}

// deadly are the commands that end the kernel, with its answer or before it.
const deadly = "bco"

// sysrq gives the guest's kernel a magic SysRq command.
func (w *window) sysrq(ctx context.Context, letter byte) error {
	_, err := w.console.Sysrq(ctx, letter)
	if errors.Is(err, mconsole.ErrNoGuest) && strings.IndexByte(deadly, letter) >= 0 {
		return nil
	}
	return asVirerr(err)
}

func (w *window) isSilent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.silent)
}

// Proc reads a file of the guest's /proc, if its kernel is in a state to
// answer: a guest that mconsole has stopped is.
func (g *guest) Proc(ctx context.Context, file string) (string, error) {
	if err := g.answering(); err != nil {
		return "", err
	}
	return g.window.proc(ctx, file)
}

// Sysrq gives the guest's kernel a magic SysRq command.
func (g *guest) Sysrq(ctx context.Context, letter byte) error {
	if err := g.answering(); err != nil {
		return err
	}
	return g.window.sysrq(ctx, letter)
}

// answering tells at once of a guest that has no management console now.
func (g *guest) answering() error {
	switch f := g.handle.Facts(); {
	case f.Preserved:
		return domain.ErrNoAnswer("it has crashed")
	case f.Held:
		return domain.ErrNoAnswer("it has not booted yet; resume it first")
	case f.Frozen:
		return domain.ErrNoAnswer("it is paused; resume it first")
	case !f.Ready:
		return domain.ErrNoAnswer("it is booting")
	}
	return nil
}
