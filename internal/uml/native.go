package uml

import (
	"context"
	"path"
	"path/filepath"

	"virtumld/internal/cow"
	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
)

// CommandLine is the command line for a shell that starts def's kernel with
// the host's own paths (cmdline.Shell). Volumes have to be there, and COW files
// whose backing file def does not name.
func (m *Machine) CommandLine(ctx context.Context, def *domxml.Definition) (string, error) {
	caps, err := m.probe(ctx, def)
	if err != nil {
		return "", err
	}
	resolved, err := m.resolve(ctx, def)
	if err != nil {
		return "", err
	}
	backing, err := backingFiles(resolved.Disks)
	if err != nil {
		return "", err
	}
	dir := m.Paths.Guest(def.UUID.String())
	return cmdline.Shell(resolved, caps, cmdline.ShellOptions{
		UMID: m.UMID(def), UMLDir: m.Paths.UMLDir, Backing: backing,
		Socket: func(unit int) string { return filepath.Join(dir, path.Base(supervisor.GuestInterface(unit))) },
	})
}

// backingFiles are the backing files of the COW disks, by unit: those that the
// definition names, else those of the files' headers.
func backingFiles(disks []domxml.Disk) (map[int]string, error) {
	backing := make(map[int]string)
	for _, disk := range disks {
		if !disk.COW {
			continue
		}
		backing[disk.Unit] = disk.Backing
		if disk.Backing != "" {
			continue
		}
		var err error
		if backing[disk.Unit], err = headersBacking(disk); err != nil {
			return nil, err
		}
	}
	return backing, nil
}

func headersBacking(disk domxml.Disk) (string, error) {
	file, err := openImage(disk.Path)
	if err != nil {
		return "", errHeader(disk, err)
	}
	defer file.Close()
	header, err := cow.ReadHeader(file)
	if err != nil {
		return "", errHeader(disk, err)
	}
	return header.Backing, nil
}
