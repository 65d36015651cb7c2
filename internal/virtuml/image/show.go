package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/digitalocean/go-libvirt"
	"github.com/spf13/cobra"

	"virtumld/internal/imgformat"
	"virtumld/internal/rootfs"
	"virtumld/internal/virtuml/connect"
	"virtumld/internal/virtuml/locate"
)

// record is what is told of an image. The sizes are in bytes.
type record struct {
	Name       string `json:"name"`
	Pool       string `json:"pool"`
	Path       string `json:"path"`
	Capacity   uint64 `json:"capacity"`
	Allocation uint64 `json:"allocation"`
	// Metadata is null for an image without, or one that this user may not
	// read.
	Metadata *rootfs.Metadata `json:"metadata"`
}

// look asks the daemon, and the image itself, about a volume.
func look(l *libvirt.Libvirt, vol libvirt.StorageVol) (record, error) {
	r := record{Name: vol.Name, Pool: vol.Pool}
	var err error
	if r.Path, err = l.StorageVolGetPath(vol); err != nil {
		return r, err
	}
	if _, r.Capacity, r.Allocation, err = l.StorageVolGetInfo(vol); err != nil {
		return r, err
	}
	if m, err := readMetadata(r.Path); err == nil {
		r.Metadata = &m
	}
	return r, nil
}

func (j *job) report(p *pool, vol libvirt.StorageVol) error {
	r, err := look(p.l, vol)
	if err != nil {
		return err
	}
	if j.json {
		return printJSON(j.out, r)
	}
	_, err = fmt.Fprintf(j.out, "Image %s imported: %s, %s of disk used\n", r.Name, showSize(r.Capacity), showSize(r.Allocation))
	return err
}

func printJSON(to io.Writer, v any) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func listCommand() *cobra.Command {
	var at locate.Place
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the images of a pool", Args: cobra.NoArgs,
		Long:    "List the images of a pool: its raw volumes, whoever has made them.",
		Example: "  virtuml image list\n  virtuml image list --pool images --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := openPool(cmd.Context(), at)
			if err != nil {
				return err
			}
			defer p.close()
			images, err := p.images()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), images)
			}
			return printTable(cmd.OutOrStdout(), images)
		},
	}
	at.Define(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// images are the raw volumes of the pool; one that vanishes meanwhile is left
// out.
func (p *pool) images() ([]record, error) {
	vols, _, err := p.l.StoragePoolListAllVolumes(p.pool, 1, 0)
	if err != nil {
		return nil, err
	}
	found := []record{}
	for _, vol := range vols {
		text, err := p.l.StorageVolGetXMLDesc(vol, 0)
		if locate.IsCode(err, libvirt.ErrNoStorageVol) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !strings.Contains(text, "<format type='"+string(imgformat.Raw)+"'/>") || strings.Contains(text, "<backingStore>") {
			continue
		}
		r, err := look(p.l, vol)
		if locate.IsCode(err, libvirt.ErrNoStorageVol) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

func printTable(to io.Writer, images []record) error {
	t := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tSIZE\tUSED\tCREATED\tSOURCE")
	for _, r := range images {
		created, source := "-", "-"
		if r.Metadata != nil {
			created, source = printable(r.Metadata.Created), printable(r.Metadata.Source)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(r.Name), showSize(r.Capacity), showSize(r.Allocation), created, source)
	}
	return t.Flush()
}

// printable keeps an image's own text from commanding the terminal.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, text)
}

func inspectCommand() *cobra.Command {
	var at locate.Place
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect VOLUME", Short: "Show what an image says about itself", Args: cobra.ExactArgs(1),
		Long:              "Show where an image is, where it came from and what it runs.\n\n" + locate.NameSyntax,
		Example:           "  virtuml image inspect debian-12\n  virtuml image inspect --json images/web | jq .metadata.cmd",
		ValidArgsFunction: at.First,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := connect.Dial(cmd.Context(), at.URI)
			if err != nil {
				return err
			}
			defer func() { _ = l.Disconnect() }()
			_, vol, err := at.Volume(l, args[0])
			if err != nil {
				return err
			}
			r, err := look(l, vol)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return printRecord(cmd.OutOrStdout(), r)
		},
	}
	at.Define(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printRecord(to io.Writer, r record) error {
	t := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	row := func(name, value string) { _, _ = fmt.Fprintf(t, "%s:\t%s\n", name, printable(value)) }
	row("Name", r.Name)
	row("Pool", r.Pool)
	row("Path", r.Path)
	row("Size", showSize(r.Capacity))
	row("Used", showSize(r.Allocation))
	if m := r.Metadata; m != nil {
		row("Source", m.Source)
		row("Created", m.Created)
		row("Entrypoint", quoted(m.Entrypoint))
		row("Cmd", quoted(m.Cmd))
		row("User", m.User)
		row("Workdir", m.Workdir)
		for _, e := range m.Env {
			row("Env", e)
		}
	}
	return t.Flush()
}

func quoted(words []string) string {
	text, err := json.Marshal(words)
	if err != nil || len(words) == 0 {
		return ""
	}
	return string(text)
}

func removeCommand() *cobra.Command {
	var at locate.Place
	cmd := &cobra.Command{
		Use: "remove VOLUME...", Aliases: []string{"rm"}, Short: "Remove images", Args: cobra.MinimumNArgs(1),
		Long:              "Remove images. One that a guest or a clone needs stays.\n\n" + locate.NameSyntax,
		Example:           "  virtuml image remove debian-12 images/web",
		ValidArgsFunction: at.Each,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := connect.Dial(cmd.Context(), at.URI)
			if err != nil {
				return err
			}
			defer func() { _ = l.Disconnect() }()
			var failed []error
			for _, name := range args {
				_, vol, err := at.Volume(l, name)
				if err == nil {
					err = l.StorageVolDelete(vol, 0)
				}
				if err != nil {
					failed = append(failed, fmt.Errorf("removing %s: %w", name, err))
				}
			}
			return errors.Join(failed...)
		},
	}
	at.Define(cmd)
	return cmd
}
