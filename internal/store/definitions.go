package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Kind is a kind of object beside domains.
type Kind struct {
	// Title is what error texts call one of them, Noun what the notice at
	// the head of its file does.
	Title, Noun string
	// Edit is the virsh command that changes one.
	Edit string
	// Domain is libvirt's, for errors.
	Domain virerr.Domain
}

// Definitions keeps the documents of all objects of one kind: a file for what
// is defined, one for what is active, and a link for what starts with the host.
// Its errors are virerr's.
type Definitions struct {
	kind                     Kind
	config, autostart, state *Folder
}

// OpenDefinitions opens the folders, as Open does those of domains.
func OpenDefinitions(kind Kind, configDir, stateDir string) (*Definitions, error) {
	d := &Definitions{kind: kind}
	var err error
	d.config, d.autostart, d.state, err = openFolders(configDir, stateDir)
	if err != nil {
		return nil, fmt.Errorf("%ss: %w", kind.Title, err)
	}
	return d, nil
}

// Close lets go of the folders.
func (d *Definitions) Close() error { return closeFolders(d.config, d.autostart, d.state) }

// Marked reports whether Mark was ever called with that file name.
func (d *Definitions) Marked(marker string) (bool, error) {
	_, err := d.config.root.Lstat(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, d.failed(fmt.Errorf("cannot look for '%s': %w", d.config.Join(marker), err))
	}
	return true, nil
}

// Mark leaves an empty file of that name beside the definitions.
func (d *Definitions) Mark(marker string) error {
	return d.failed(d.config.Replace(marker, nil, Durable))
}

// CheckName refuses, with ErrInvalidArg, a name that no file can have.
func (d *Definitions) CheckName(name string) error {
	_, err := d.file(name)
	return err
}

// SaveConfig makes the definition called name durable.
func (d *Definitions) SaveConfig(name, document string) error {
	return d.save(d.config, name, document, Durable)
}

// SaveState notes that the object called name is active.
func (d *Definitions) SaveState(name, document string) error {
	return d.save(d.state, name, document, Volatile)
}

// RemoveConfig removes a definition and its autostart link. The link goes
// first: were it left over, a later object of that name would start unasked.
func (d *Definitions) RemoveConfig(name string) error {
	file, err := d.file(name)
	if err != nil {
		return err
	}
	if err := d.autostart.Remove(file, Durable); err != nil {
		return d.failed(err)
	}
	return d.failed(d.config.Remove(file, Durable))
}

// RemoveState forgets that an object was active.
func (d *Definitions) RemoveState(name string) error {
	file, err := d.file(name)
	if err != nil {
		return err
	}
	return d.failed(d.state.Remove(file, Volatile))
}

// SetAutostart makes or removes the autostart link of a definition.
func (d *Definitions) SetAutostart(name string, on bool) error {
	file, err := d.file(name)
	if err != nil {
		return err
	}
	if on {
		return d.failed(d.autostart.Link(d.config.Join(file), file, Durable))
	}
	return d.failed(d.autostart.Remove(file, Durable))
}

func (d *Definitions) save(to *Folder, name, document string, durability Durability) error {
	file, err := d.file(name)
	if err != nil {
		return err
	}
	return d.failed(to.Replace(file, []byte(d.notice()+document), durability))
}

// notice is the comment at the head of each definition, for whoever opens the
// file in an editor.
func (d *Definitions) notice() string {
	return "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. virtumld writes it anew with every change\n" +
		"of the " + d.kind.Noun + ", and what was changed here by hand is lost. To change the " + d.kind.Noun + " use\n" +
		"virsh " + d.kind.Edit + " or any other client of libvirt.\n-->\n"
}

func (d *Definitions) file(name string) (string, error) {
	file, err := FileName(name)
	if err != nil {
		return "", virerr.In(d.kind.Domain, libvirt.ErrInvalidArg, "%s '%s': %w", d.kind.Title, name, err)
	}
	return file, nil
}

func (d *Definitions) failed(err error) error {
	if err == nil {
		return nil
	}
	return virerr.In(d.kind.Domain, libvirt.ErrSystemError, "%w", err)
}

// Loaded is what Definitions hold: the documents of the active and of the
// defined objects, the names of those that start with the host, and the files
// that were left alone.
type Loaded[T any] struct {
	Active, Defined []T
	Autostart       []string
	Problems        []error
}

// LoadDefinitions reads all of d. A document whose own name is not its file's
// is left alone.
func LoadDefinitions[T any](ctx context.Context, d *Definitions, parse func(string) (T, error), nameOf func(T) string) (Loaded[T], error) {
	var l Loaded[T]
	decode := func(name string, data []byte) (T, error) {
		value, err := parse(string(data))
		if err == nil && nameOf(value) != name {
			err = fmt.Errorf("the %s in it is called %q, so it should be in %q", d.kind.Noun, nameOf(value), nameOf(value)+suffix)
		}
		return value, err
	}
	active, activeProblems, err := Load(ctx, d.state, decode)
	if err != nil {
		return l, err
	}
	defined, problems, err := Load(ctx, d.config, decode)
	if err != nil {
		return l, err
	}
	names, links, err := d.autostart.Links(d.config)
	if err != nil {
		return l, err
	}
	l = Loaded[T]{Active: active, Defined: defined, Autostart: names}
	for _, list := range [][]Problem{activeProblems, problems, links} {
		for _, problem := range list {
			l.Problems = append(l.Problems, problem)
		}
	}
	return l, nil
}

// openFolders opens an instance's folders for one kind of object.
func openFolders(configDir, stateDir string) (config, autostart, state *Folder, err error) {
	for _, f := range []struct {
		to   **Folder
		path string
	}{
		{&config, configDir},
		{&autostart, filepath.Join(configDir, autostartDir)},
		{&state, stateDir},
	} {
		if *f.to, err = OpenFolder(f.path); err != nil {
			return nil, nil, nil, errors.Join(err, closeFolders(config, autostart, state))
		}
	}
	return config, autostart, state, nil
}

func closeFolders(folders ...*Folder) error {
	var errs []error
	for _, f := range folders {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
