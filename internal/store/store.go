// Package store keeps domains on disk: definitions with their autostart
// links, which survive the host, and the status of running domains, which
// survives the daemon. Every file appears whole or not at all, and a file that
// store cannot read is reported and left alone. It knows files and the texts
// in them; it knows nothing of running guests, of clients, or of which
// changes are allowed. Its Folder also keeps the definitions of storage pools.
//
// The layout is libvirt's own (src/conf/domain_conf.c):
//
//	ConfigDir/NAME.xml            a definition, 0600
//	ConfigDir/autostart/NAME.xml  a symbolic link to it
//	StateDir/NAME.xml             the status of a running domain, 0600
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// autostartDir is the folder of the autostart links inside ConfigDir.
const autostartDir = "autostart"

// Store is one instance's files. Its methods may be called at the same time;
// of two calls for one domain either may come last, so the caller orders
// those.
type Store struct {
	config    *Folder // ConfigDir
	autostart *Folder // ConfigDir/autostart
	state     *Folder // StateDir
}

// Problem is a file that was left out, and why.
type Problem struct {
	// Path is the file's absolute path.
	Path string
	Err  error
}

// Error says which file and why.
func (p Problem) Error() string { return fmt.Sprintf("%s: %v", p.Path, p.Err) }

// Unwrap returns Err.
func (p Problem) Unwrap() error { return p.Err }

// Open opens the store, makes its folders where they are missing (0700), and
// removes the temporary files that a killed daemon left. Only one Store may be
// open on a folder at a time: the daemon's pid file sees to that.
func Open(configDir, stateDir string) (*Store, error) {
	config, autostart, state, err := openFolders(configDir, stateDir)
	if err != nil {
		return nil, err
	}
	return &Store{config: config, autostart: autostart, state: state}, nil
}

// Close lets go of the folders.
func (s *Store) Close() error { return closeFolders(s.config, s.autostart, s.state) }

// OpenFolder opens the folder at path, makes it where it is missing (0700), and
// removes the temporary files that a killed daemon left.
func OpenFolder(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find folder %q: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make folder: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open folder: %w", err)
	}
	f := &Folder{path: path, root: root, disk: rootDisk{root}}
	if err := f.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot clean folder %s: %w", path, err), root.Close())
	}
	return f, nil
}
