package browse

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"virtumld/internal/ext4read"
)

// maxEntries is how many files of one folder are listed, for all are sorted.
const maxEntries = 1 << 20

// list prints a file, or the files of a folder.
func list(d *disk, name string, out io.Writer) error {
	n, err := d.Lookup(name, false)
	if err != nil {
		return err
	}
	if n.Mode&fs.ModeSymlink != 0 && strings.HasSuffix(name, "/") {
		if n, err = d.Lookup(name, true); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.AlignRight)
	if !n.Mode.IsDir() {
		if err := row(d, table, path.Base(name), n); err != nil {
			return err
		}
		return table.Flush()
	}
	entries, err := sorted(d, n)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n, err := d.Inode(e)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(path.Join(name, e.Name)), err)
		}
		if err := row(d, table, e.Name, n); err != nil {
			return err
		}
	}
	return table.Flush()
}

func sorted(d *disk, n *ext4read.Inode) ([]ext4read.Entry, error) {
	var entries []ext4read.Entry
	err := d.Entries(n, func(e ext4read.Entry) error {
		if len(entries) == maxEntries {
			return fmt.Errorf("the folder has more than %d files", maxEntries)
		}
		entries = append(entries, e)
		return nil
	})
	slices.SortFunc(entries, func(a, b ext4read.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, err
}

// row is a line of ls -l. Owners are numbers: their names are the guest's.
func row(d *disk, w io.Writer, name string, n *ext4read.Inode) error {
	size := strconv.FormatInt(n.Size, 10)
	if n.Mode&fs.ModeDevice != 0 {
		size = fmt.Sprintf("%d,%d", n.Major, n.Minor)
	}
	name = shown(name)
	if n.Mode&fs.ModeSymlink != 0 {
		target, err := d.Readlink(n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		name += " -> " + shown(target)
	}
	_, err := fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t %s %s\n", modeText(n.Mode), n.Links, n.UID, n.GID, size,
		n.ModTime.UTC().Format(time.DateTime), name)
	return err
}

// modeText is the mode as ls writes it.
func modeText(mode fs.FileMode) string {
	kind := byte('-')
	switch {
	case mode.IsDir():
		kind = 'd'
	case mode&fs.ModeSymlink != 0:
		kind = 'l'
	case mode&fs.ModeCharDevice != 0:
		kind = 'c'
	case mode&fs.ModeDevice != 0:
		kind = 'b'
	case mode&fs.ModeNamedPipe != 0:
		kind = 'p'
	case mode&fs.ModeSocket != 0:
		kind = 's'
	case mode&fs.ModeIrregular != 0:
		kind = '?'
	}
	text := []byte(mode.Perm().String())
	text[0] = kind
	for _, special := range []struct {
		bit   fs.FileMode
		at    int
		lower byte
	}{{fs.ModeSetuid, 3, 's'}, {fs.ModeSetgid, 6, 's'}, {fs.ModeSticky, 9, 't'}} {
		switch {
		case mode&special.bit == 0:
		case text[special.at] == 'x':
			text[special.at] = special.lower
		default:
			text[special.at] = special.lower - 'a' + 'A'
		}
	}
	return string(text)
}

// shown is a name from an image, fit for a terminal.
func shown(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// print writes a file's content to out.
func print(d *disk, name string, out io.Writer) error {
	n, err := d.Lookup(name, true)
	if err != nil {
		return err
	}
	if !n.Mode.IsRegular() {
		return fmt.Errorf("%s is not a file", shown(name))
	}
	w := bufio.NewWriterSize(out, 256<<10)
	if err := d.Copy(w, n); err != nil {
		return err
	}
	return w.Flush()
}
