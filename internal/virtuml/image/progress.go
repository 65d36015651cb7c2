package image

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress is one line on a terminal, and nothing elsewhere.
type progress struct {
	to    io.Writer // nil for none
	next  time.Time
	shown bool
}

const progressInterval = 100 * time.Millisecond

func newProgress(to io.Writer) *progress {
	if f, ok := to.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{to: to}
	}
	return &progress{}
}

// show tells that done of all bytes have been read; 0 of all is unknown.
func (p *progress) show(done, all int64) {
	if p.to == nil {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(progressInterval), true
	_, _ = fmt.Fprintf(p.to, "\r\x1b[K%s", line(done, all))
}

// line is what the terminal shows.
func line(done, all int64) string {
	if all <= 0 {
		return showSize(uint64(done))
	}
	const width = 40
	filled := int(width * min(done, all) / all)
	return fmt.Sprintf("[%s%s] %3d%% of %s", strings.Repeat("#", filled), strings.Repeat(" ", width-filled), 100*min(done, all)/all, showSize(uint64(all)))
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}
