package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// NewLogger makes the daemon's logger, which writes to stderr from level on:
// in the journal's own format when stderr is the journal, else as text.
func NewLogger(stderr *os.File, level slog.Leveler) *slog.Logger {
	if isJournal(stderr, os.Getenv("JOURNAL_STREAM")) {
		return slog.New(newJournalHandler(stderr, level))
	}
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// isJournal compares a file with JOURNAL_STREAM, the "device:inode" of what
// the service manager has connected to the journal (systemd.exec(5)). A child
// may have inherited the variable while its stderr is something else.
func isJournal(f *os.File, stream string) bool {
	var stat unix.Stat_t
	if stream == "" || unix.Fstat(int(f.Fd()), &stat) != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journalHandler writes a line per record with its priority in front
// (sd-daemon(3)) and without time and level, which the journal keeps itself.
type journalHandler struct {
	text slog.Handler // writes into line.buf
	line *journalLine
}

// journalLine is shared by a handler and those derived from it.
type journalLine struct {
	mu  sync.Mutex // guards: buf, and that lines go out one by one
	buf bytes.Buffer
	out io.Writer
}

func newJournalHandler(out io.Writer, level slog.Leveler) slog.Handler {
	line := &journalLine{out: out}
	dropLevel := func(groups []string, a slog.Attr) slog.Attr {
		if _, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}
	text := slog.NewTextHandler(&line.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: dropLevel})
	return &journalHandler{text: text, line: line}
}

func (h *journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.text.Enabled(ctx, level)
}

func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.buf.Reset()
	fmt.Fprintf(&h.line.buf, "<%d>", priority(r.Level))
	r.Time = time.Time{}
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.line.out.Write(h.line.buf.Bytes())
	return err
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{text: h.text.WithAttrs(attrs), line: h.line}
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{text: h.text.WithGroup(name), line: h.line}
}

// priority is a level as syslog(3) counts: 3 error, 4 warning, 6 info, 7 debug.
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 4
	case level >= slog.LevelInfo:
		return 6
	default:
		return 7
	}
}
