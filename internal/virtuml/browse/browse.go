// Package browse is "virtuml image ls", "cat" and "cp": it looks into the
// disks of guests that do not run, and into images. What it reads may have
// been made by a hostile guest: package ext4read bounds it, names are shown
// without control characters, and nothing is written outside the destination.
// It changes no volume.
package browse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/ext4read"
	"virtumld/internal/filelock"
	"virtumld/internal/virtuml/backing"
	"virtumld/internal/virtuml/locate"
)

// Commands are the three commands, to be put below "virtuml image".
func Commands() []*cobra.Command {
	return []*cobra.Command{lsCommand(), catCommand(), cpCommand()}
}

const syntax = "\n\n" + locate.Syntax + `
It is a raw or copy-on-write image with an ext2, ext3 or ext4 file system, and
no guest may be writing to it.`

func lsCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:     "ls VOLUME:PATH...",
		Short:   "List files of a volume",
		Long:    "List files of a volume, as ls -l does." + syntax,
		Example: "  virtuml image ls web.cow:/etc",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, &at, args, func(d *disk, name string) error {
				return list(d, name, cmd.OutOrStdout())
			})
		},
	}
	return define(cmd, &at)
}

func catCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:     "cat VOLUME:PATH...",
		Short:   "Print files of a volume",
		Long:    "Print files of a volume." + syntax,
		Example: "  virtuml image cat web.cow:/var/log/messages",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return each(cmd, &at, args, func(d *disk, name string) error {
				return print(d, name, cmd.OutOrStdout())
			})
		},
	}
	return define(cmd, &at)
}

func cpCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "cp VOLUME:PATH... DESTINATION",
		Short: "Copy files and folders out of a volume",
		Long: `Copy files and folders out of a volume to the host, with permissions and
times, but without owners, set-user-id bits and devices. Symbolic links stay
what they are. DESTINATION is a folder to copy into, or a new name.` + syntax,
		Example: "  virtuml image cp web.cow:/var/log .",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := args[len(args)-1]
			return each(cmd, &at, args[:len(args)-1], func(d *disk, name string) error {
				return copyOut(cmd.Context(), d, name, to, cmd.ErrOrStderr())
			})
		},
	}
	return define(cmd, &at)
}

// place is where volumes are, and which backing files are believed.
type place struct {
	locate.Place
	rule backing.Rule
}

func define(cmd *cobra.Command, at *place) *cobra.Command {
	at.rule.Define(cmd)
	at.Define(cmd)
	cmd.ValidArgsFunction = at.Inside
	return cmd
}

// each calls do for every VOLUME:PATH.
func each(cmd *cobra.Command, at *place, args []string, do func(*disk, string) error) error {
	for _, arg := range args {
		volume, name, err := parse(arg)
		if err != nil {
			return err
		}
		if err := one(cmd, at, volume, name, do); err != nil {
			return fmt.Errorf("%s: %w", volume, err)
		}
	}
	return nil
}

func one(cmd *cobra.Command, at *place, volume, name string, do func(*disk, string) error) error {
	file, err := at.Path(cmd.Context(), volume)
	if err != nil {
		return err
	}
	d, err := at.openDisk(cmd.Context(), file)
	if err != nil {
		return err
	}
	defer d.Close()
	if d.NeedsRecovery() {
		fmt.Fprintf(cmd.ErrOrStderr(), "virtuml: %s was not unmounted: its guest's last changes may be missing\n", volume)
	}
	return do(d, name)
}

// parse splits VOLUME:PATH at the first colon before a slash, else at the last
// colon: a volume may have colons.
func parse(arg string) (volume, name string, err error) {
	at := strings.Index(arg, ":/")
	if at < 0 {
		at = strings.LastIndexByte(arg, ':')
	}
	if at <= 0 {
		return "", "", fmt.Errorf("%q: use VOLUME:PATH, such as disk.img:/etc", arg)
	}
	if name = arg[at+1:]; name == "" {
		name = "/"
	}
	return arg[:at], name, nil
}

// disk is an open volume's file system.
type disk struct {
	*ext4read.FS
	file    *os.File
	backing *os.File // nil for a raw image
}

// Close closes the files and gives up their locks.
func (d *disk) Close() {
	if d.backing != nil {
		_ = d.backing.Close()
	}
	_ = d.file.Close()
}

// openDisk opens the image at path, unless somebody writes to it.
func (p *place) openDisk(ctx context.Context, path string) (*disk, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	d := &disk{file: file}
	if err := p.open(ctx, d); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// open locks d's file and finds the file system in it.
func (p *place) open(ctx context.Context, d *disk) error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && info.Mode()&os.ModeDevice == 0 {
		return fmt.Errorf("%s is neither a file nor a disk", d.file.Name())
	}
	if err := lock(d.file); err != nil {
		return err
	}
	var r io.ReaderAt = d.file
	size, err := d.file.Seek(0, io.SeekEnd) // a device's, too
	if err != nil {
		return err
	}
	switch d.backing, err = p.rule.Open(ctx, p.URI, d.file, os.O_RDONLY); {
	case err == nil:
		if err := lock(d.backing); err != nil {
			return err
		}
		over, err := cow.NewReader(d.file, d.backing)
		if err != nil {
			return err
		}
		r, size = over, over.Size()
	case !errors.Is(err, cow.ErrNotCOW):
		return err
	}
	d.FS, err = ext4read.Open(r, size)
	return err
}

// lock keeps guests from writing f until it is closed.
func lock(f *os.File) error {
	err := filelock.Lock(f, filelock.Shared)
	if errors.Is(err, filelock.ErrHeld) {
		return errors.New("a guest is using it: shut the guest off first")
	}
	return err
}
