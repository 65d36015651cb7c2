package browse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"virtumld/internal/ext4read"
)

// maxLevels is how deep folders may be.
const maxLevels = 1000

// copier copies a file tree out of an image. All is written through root, the
// folder that holds the copy, so that no link can lead out of it.
type copier struct {
	ctx     context.Context
	disk    *disk
	root    *os.Root
	log     io.Writer
	folders map[uint32]bool // inodes that were copied: a tree has each once
}

// copyOut copies name to the host's path to: into it if that is a folder.
func copyOut(ctx context.Context, d *disk, name, to string, log io.Writer) error {
	n, err := d.Lookup(name, true)
	if err != nil {
		return err
	}
	dir, base := filepath.Split(filepath.Clean(to))
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		dir, base = to, path.Base(path.Join("/", name))
		if base == "/" {
			return copyInto(ctx, d, n, to, log)
		}
	}
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &copier{ctx, d, root, log, map[uint32]bool{}}
	return c.copy(n, base, 0)
}

// copyInto copies the content of the folder n into the folder to.
func copyInto(ctx context.Context, d *disk, n *ext4read.Inode, to string, log io.Writer) error {
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &copier{ctx, d, root, log, map[uint32]bool{n.Number: true}}
	return c.entries(n, ".", 0)
}

// copy makes the host's file to of n.
func (c *copier) copy(n *ext4read.Inode, to string, level int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	switch {
	case n.Mode.IsDir():
		return c.folder(n, to, level)
	case n.Mode.IsRegular():
		return c.file(n, to)
	case n.Mode&fs.ModeSymlink != 0:
		return c.link(n, to)
	default:
		fmt.Fprintf(c.log, "virtuml: left out %s, which is not a file, folder or link\n", shown(to))
		return nil
	}
}

func (c *copier) folder(n *ext4read.Inode, to string, level int) error {
	switch {
	case level >= maxLevels:
		return fmt.Errorf("%s: folders are more than %d deep", shown(to), maxLevels)
	case c.folders[n.Number]:
		return fmt.Errorf("%s: %w: the folder is there twice", shown(to), ext4read.ErrDamaged)
	}
	c.folders[n.Number] = true
	if err := c.root.Mkdir(to, 0o700); err != nil {
		info, statErr := c.root.Lstat(to)
		if !errors.Is(err, fs.ErrExist) || statErr != nil || !info.IsDir() {
			return err
		}
	}
	if err := c.entries(n, to, level); err != nil {
		return err
	}
	return c.attributes(n, to)
}

func (c *copier) entries(n *ext4read.Inode, to string, level int) error {
	return c.disk.Entries(n, func(e ext4read.Entry) error {
		child, err := c.disk.Inode(e)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(path.Join(to, e.Name)), err)
		}
		return c.copy(child, path.Join(to, e.Name), level+1)
	})
}

// file copies a regular file, with its holes. Half a file is not left.
func (c *copier) file(n *ext4read.Inode, to string) error {
	if err := c.clear(to); err != nil {
		return err
	}
	out, err := c.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = c.content(out, n)
	err = errors.Join(err, out.Close())
	if err == nil {
		err = c.attributes(n, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", shown(to), err), c.root.Remove(to))
	}
	return nil
}

func (c *copier) content(out *os.File, n *ext4read.Inode) error {
	if err := out.Truncate(n.Size); err != nil {
		return err
	}
	return c.disk.Extents(n, func(offset int64, p []byte) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		_, err := out.WriteAt(p, offset)
		return err
	})
}

func (c *copier) link(n *ext4read.Inode, to string) error {
	target, err := c.disk.Readlink(n)
	if err != nil {
		return fmt.Errorf("%s: %w", shown(to), err)
	}
	if err := c.clear(to); err != nil {
		return err
	}
	return c.root.Symlink(target, to)
}

// clear makes room for a file of that name, as cp -f does.
func (c *copier) clear(to string) error {
	info, err := c.root.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder already", shown(to))
	default:
		return c.root.Remove(to)
	}
}

// attributes are those that do no harm on a host.
func (c *copier) attributes(n *ext4read.Inode, to string) error {
	if err := c.root.Chmod(to, n.Mode.Perm()); err != nil {
		return err
	}
	return c.root.Chtimes(to, n.ModTime, n.ModTime)
}
