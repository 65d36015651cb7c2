// Package clone is what "virtuml image" does with copy-on-write files beyond
// libvirt's API: merging them into their backing files, rebasing, checking and
// mending them. The files are opened by the user who asks; locks keep it off
// the disks of running guests. It knows no guests.
package clone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/virtuml/backing"
	"virtumld/internal/virtuml/locate"
)

// place is where volumes are, and which backing files are believed.
type place struct {
	locate.Place
	rule backing.Rule
}

func (p *place) define(cmd *cobra.Command) {
	p.Define(cmd)
	p.rule.Define(cmd)
}

// pair opens the copy-on-write file at path for writing, and its backing file.
func (p *place) pair(ctx context.Context, path string, backingFlag int) (over, under *os.File, err error) {
	if over, err = open(path, os.O_RDWR); err != nil {
		return nil, nil, err
	}
	if under, err = p.rule.Open(ctx, p.URI, over, backingFlag); err != nil {
		_ = over.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return over, under, nil
}

// open never waits, as it would for a FIFO's other end.
func open(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
}

// Commands are "virtuml image merge", "rebase" and "check".
func Commands() []*cobra.Command {
	return []*cobra.Command{mergeCommand(), rebaseCommand(), checkCommand()}
}

func mergeCommand() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "merge VOLUME",
		Short: "Write what a COW volume holds into its backing file",
		Long: `Writes what the copy-on-write VOLUME holds down into its backing file and
empties VOLUME, as uml_moo does. The guest must be shut off. Other clones of the
backing file do not fit it any more afterwards. A merge that was interrupted is
finished by another one.

` + locate.Syntax,
		Example:           "  virtuml image merge images/vm1.cow",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: at.First,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := at.Path(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := at.merge(cmd.Context(), path); err != nil {
				return busy(err)
			}
			return at.Refresh(cmd.Context(), args[0])
		},
	}
	at.define(cmd)
	return cmd
}

func (p *place) merge(ctx context.Context, path string) error {
	over, under, err := p.pair(ctx, path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer over.Close()
	defer under.Close()
	return cow.Merge(ctx, over, under, nil)
}

func rebaseCommand() *cobra.Command {
	var at place
	var unsafe bool
	cmd := &cobra.Command{
		Use:   "rebase VOLUME BACKING",
		Short: "Give a COW volume another backing file",
		Long: `Gives the copy-on-write VOLUME another backing file of the same size. What a
guest reads stays the same: sectors that differ between the old backing file and
the new one are copied into VOLUME first.

` + locate.Syntax,
		Example:           "  virtuml image rebase images/vm1.cow images/new.img",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: at.Each,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := at.Path(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			to, err := at.Path(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			if err := at.rebase(cmd.Context(), path, to, unsafe); err != nil {
				return busy(err)
			}
			return at.Refresh(cmd.Context(), args[0])
		},
	}
	at.define(cmd)
	cmd.Flags().BoolVar(&unsafe, "unsafe", false, "only change the name: the new backing file holds what the old one did")
	return cmd
}

func (p *place) rebase(ctx context.Context, path, to string, unsafe bool) error {
	under, err := open(to, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer under.Close()
	if !unsafe {
		over, old, err := p.pair(ctx, path, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer over.Close()
		defer old.Close()
		return cow.Rebase(ctx, over, old, under, to, nil)
	}
	over, err := open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer over.Close()
	return cow.Rebase(ctx, over, nil, under, to, nil)
}

func checkCommand() *cobra.Command {
	var at place
	var o cow.RepairOptions
	var repair, asJSON bool
	cmd := &cobra.Command{
		Use:   "check VOLUME",
		Short: "Say what is wrong with a COW volume, and mend it",
		Long: `Says what is wrong with the copy-on-write VOLUME: cut short, a backing file that
is missing or was changed, a merge that was interrupted. The exit status is 0
when nothing is wrong that keeps a guest from using it.

` + locate.Syntax,
		Example:           "  virtuml image check images/vm1.cow\n  virtuml image check --repair --refresh-mtime ./vm1.cow",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: at.First,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := at.Path(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			report, err := at.examine(cmd.Context(), path, repair, o)
			if err != nil {
				return busy(err)
			}
			if err := show(cmd.OutOrStdout(), report, asJSON); err != nil {
				return err
			}
			if !report.OK() {
				return fmt.Errorf("%s is damaged", path)
			}
			return nil
		},
	}
	at.define(cmd)
	f := cmd.Flags()
	f.BoolVar(&repair, "repair", false, "mend what can be mended without loss")
	f.BoolVar(&o.AcceptLoss, "accept-loss", false, "with --repair: make a file that was cut short whole, without the lost data")
	f.BoolVar(&o.RefreshMtime, "refresh-mtime", false, "with --repair: the backing file holds what it did, only its time has changed")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// examine mends the file first when that is asked for.
func (p *place) examine(ctx context.Context, path string, repair bool, o cow.RepairOptions) (*cow.Report, error) {
	flag := os.O_RDONLY
	switch {
	case repair:
		flag = os.O_RDWR
	case o.AcceptLoss || o.RefreshMtime:
		return nil, errors.New("--accept-loss and --refresh-mtime are for --repair")
	}
	over, err := open(path, flag)
	if err != nil {
		return nil, err
	}
	defer over.Close()
	under, err := p.rule.Open(ctx, p.URI, over, os.O_RDONLY)
	switch {
	case err == nil:
		defer under.Close()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, cow.ErrDamaged):
		// The report says so.
	default:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if repair {
		return cow.Repair(ctx, over, under, o)
	}
	return cow.Verify(over, under)
}

// problem is one line of the report.
type problem struct {
	Kind       cow.Kind `json:"kind"`
	Text       string   `json:"text"`
	Repairable bool     `json:"repairable"`
	Harmless   bool     `json:"harmless"`
}

func show(to io.Writer, report *cow.Report, asJSON bool) error {
	problems := []problem{}
	for _, p := range report.Problems {
		problems = append(problems, problem{p.Kind, p.Text, p.Repairable, p.Harmless})
	}
	if asJSON {
		return json.NewEncoder(to).Encode(problems)
	}
	if len(problems) == 0 {
		_, err := fmt.Fprintln(to, "nothing is wrong")
		return err
	}
	for _, p := range problems {
		if _, err := fmt.Fprintf(to, "%s: %s\n", p.Kind, p.Text); err != nil {
			return err
		}
	}
	return nil
}

// busy says who it is that uses a file.
func busy(err error) error {
	if errors.Is(err, cow.ErrBusy) {
		return fmt.Errorf("%w: shut the guest off first", err)
	}
	return err
}
