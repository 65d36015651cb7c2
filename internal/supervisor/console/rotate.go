package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// The bounds of a log, those of libvirt's virtlogd (max_size and max_backups
// in src/logging/virtlogd.conf).
const (
	logSize    = 2 << 20
	logBackups = 3
)

// Log is a log file of bounded size: when it is full it becomes PATH.0, the
// old PATH.0 becomes PATH.1, and so on.
type Log struct {
	path string
	max  int64

	mu   sync.Mutex // guards file and size
	file *os.File
	size int64
}

// OpenLog opens the log at path, mode 0600, and keeps its old content when
// keep is set.
func OpenLog(path string, keep bool) (*Log, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if !keep {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Log{path: path, max: logSize, file: file, size: info.Size()}, nil
}

// Write appends p, to a new file when this one would grow too large.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, os.ErrClosed
	}
	if l.size > 0 && l.size+int64(len(p)) > l.max {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *Log) rotate() error {
	for i := logBackups - 1; i > 0; i-- {
		err := os.Rename(l.backup(i-1), l.backup(i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(l.path, l.backup(0)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	l.file.Close()
	l.file, l.size = file, 0
	return nil
}

func (l *Log) backup(i int) string { return fmt.Sprintf("%s.%d", l.path, i) }

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
