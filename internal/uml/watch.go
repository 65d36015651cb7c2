package uml

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// The files of a guest's umid folder. When the management console's socket
// appears, the kernel can be asked.
const (
	mconsoleName = "mconsole"
	pidName      = "pid"
)

// Watch tells found of every guest in the uml_dir that is not under a
// supervisor of ours, of the present ones at once and of later ones when their
// management console appears. It returns when ctx ends.
func (m *Machine) Watch(ctx context.Context, found func(umid string)) error {
	if err := os.MkdirAll(m.Paths.UMLDir, 0o700); err != nil {
		return fmt.Errorf("cannot make uml_dir: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch uml_dir: %w", err)
	}
	defer watcher.Close()
	w := umlDirWatch{Watcher: watcher, dir: m.Paths.UMLDir, found: found}
	if err := w.Add(w.dir); err != nil {
		return fmt.Errorf("cannot watch uml_dir: %w", err)
	}
	if err := w.scan(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-w.Events:
			if !open {
				return nil
			}
			if e.Has(fsnotify.Create) {
				w.created(e.Name)
			}
		case err, open := <-w.Errors:
			if !open {
				return nil
			}
			m.Log.Warn("uml_dir watch", "err", err)
			// Events may be lost; whoever was told already is not told anew.
			if err := w.scan(); err != nil {
				return err
			}
		}
	}
}

type umlDirWatch struct {
	*fsnotify.Watcher
	dir   string
	found func(umid string)
}

func (w umlDirWatch) scan() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return fmt.Errorf("cannot read uml_dir: %w", err)
	}
	for _, e := range entries {
		w.created(filepath.Join(w.dir, e.Name()))
	}
	return nil
}

// created looks at a new entry of uml_dir or of an umid folder in it.
func (w umlDirWatch) created(path string) {
	if filepath.Base(path) == mconsoleName && filepath.Dir(path) != w.dir {
		w.look(filepath.Dir(path))
		return
	}
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return
	}
	if err := w.Add(path); err != nil {
		return // gone again
	}
	// The socket may have come before the watch; being told twice is no harm.
	w.look(path)
}

// look tells of the guest of an umid folder. A kernel makes its pid file
// before its socket; a supervisor of ours makes the socket alone.
func (w umlDirWatch) look(folder string) {
	for _, name := range []string{mconsoleName, pidName} {
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil {
			return
		}
	}
	w.found(filepath.Base(folder))
}
