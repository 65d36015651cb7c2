package uml

import (
	"context"
	"errors"
	"sync"
	"time"

	"virtumld/internal/domain"
	"virtumld/internal/mconsole"
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
	return text, asVirerr(err)
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
