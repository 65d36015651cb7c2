package nic

import (
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// lookAgain is how often a network is looked for on a host that has no inotify
// instances left for this user.
const lookAgain = 2 * time.Second

// folder is a network of somebody else's, found by its folder.
type folder string

// watch tells once when the network's process may be there again: something
// was made in its folder, or in the nearest above it that is there. The start
// of a process makes files there after its socket listens, so that the last
// sign never comes too early. What is there already tells nothing: the network
// must be tried after watch and before the wait.
func (f folder) watch() (again <-chan struct{}, stop func()) {
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		var dir string
		if dir, err = watchNearest(watcher, string(f)); err == nil {
			return sign(watcher, dir), func() { _ = watcher.Close() }
		}
		_ = watcher.Close()
	}
	tell := make(chan struct{})
	timer := time.AfterFunc(lookAgain, func() { close(tell) })
	return tell, func() { timer.Stop() }
}

// watchNearest watches dir, or the nearest folder above it that is there.
func watchNearest(watcher *fsnotify.Watcher, dir string) (string, error) {
	for {
		err := watcher.Add(dir)
		up := filepath.Dir(dir)
		if err == nil || !os.IsNotExist(err) || up == dir {
			return dir, err
		}
		dir = up
	}
}

// sign closes its channel when something is made in dir, or dir itself goes.
// The goroutine ends with the watcher.
func sign(watcher *fsnotify.Watcher, dir string) <-chan struct{} {
	tell := make(chan struct{})
	go func() {
		for {
			select {
			case event, open := <-watcher.Events:
				if !open {
					return
				}
				if event.Has(fsnotify.Create) || event.Name == dir {
					close(tell)
					return
				}
			case _, open := <-watcher.Errors:
				if open {
					close(tell) // an overflow: what was told is lost
				}
				return
			}
		}
	}()
	return tell
}
