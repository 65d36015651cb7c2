package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// SetAutostart makes or removes the autostart link of the domain called name.
// It is durable when SetAutostart returns.
func (s *Store) SetAutostart(name string, on bool) error {
	file, err := FileName(name)
	if err != nil {
		return err
	}
	if !on {
		return s.autostart.Remove(file, Durable)
	}
	return s.autostart.Link(s.config.Join(file), file, Durable)
}

// linked reports whether file has an autostart link.
func (s *Store) linked(file string) (bool, error) {
	_, err := s.autostart.root.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look at autostart link: %w", err)
	}
	return true, nil
}

// Links returns the names of the definitions in config that a link in f leads
// to, and what else in f has such a name.
func (f *Folder) Links(config *Folder) ([]string, []Problem, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read folder %s: %w", f.path, err)
	}
	var names []string
	var problems []Problem
	for _, e := range entries {
		name, ok := domainName(e.Name())
		if !ok {
			continue
		}
		if err := f.checkLink(e.Name(), config); err != nil {
			problems = append(problems, Problem{Path: f.Join(e.Name()), Err: err})
			continue
		}
		names = append(names, name)
	}
	return names, problems, nil
}

// checkLink compares files, not texts: an absolute link and a relative one
// both serve, and so does one through another name of the folder.
func (f *Folder) checkLink(file string, config *Folder) error {
	linked, err := os.Stat(f.Join(file))
	if err != nil {
		return fmt.Errorf("cannot follow autostart link: %w", err)
	}
	definition, err := config.root.Lstat(file)
	if err != nil {
		return fmt.Errorf("the autostart link leads to no definition: %w", err)
	}
	if !os.SameFile(linked, definition) {
		return fmt.Errorf("the autostart link should lead to %s", config.Join(file))
	}
	return nil
}
