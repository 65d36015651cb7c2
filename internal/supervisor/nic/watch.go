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
// that its path needs has been made. What is there already tells nothing, so
// the network must be tried after watch and before the wait.
func (f folder) watch() (again <-chan struct{}, stop func()) {
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		var missing string
		if missing, err = watchFor(watcher, filepath.Join(string(f), controlName)); err == nil {
			return await(watcher, missing), func() { _ = watcher.Close() }
		}
		_ = watcher.Close()
	}
	tell := make(chan struct{})
	timer := time.AfterFunc(lookAgain, func() { close(tell) })
	return tell, func() { timer.Stop() }
}

// controlName is the socket of a network's process in its folder.
const controlName = "ctl"

// watchFor watches the folder of path, or the nearest above it that is there,
// and returns the name in it whose appearance matters.
func watchFor(watcher *fsnotify.Watcher, path string) (string, error) {
	for {
		dir := filepath.Dir(path)
		err := watcher.Add(dir)
		if err == nil || !os.IsNotExist(err) || dir == path {
			return path, err
		}
		path = dir
	}
}

// await closes its channel at the first sign of missing, or when the folder
// itself goes. The goroutine ends with the watcher.
func await(watcher *fsnotify.Watcher, missing string) <-chan struct{} {
	tell := make(chan struct{})
	dir := filepath.Dir(missing)
	go func() {
		for {
			select {
			case event, open := <-watcher.Events:
				if !open {
					return
				}
				if event.Name == missing && !event.Has(fsnotify.Remove) || event.Name == dir {
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
