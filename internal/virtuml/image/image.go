// Package image is "virtuml image": it makes images of container images,
// tarballs, folders and disk images, and shows and removes those that are
// there. Images are volumes of the daemon's storage pools, reached through
// libvirt's API; their files are written here, by the user who asks. It knows
// no guests.
package image

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"virtumld/internal/rootfs"
)

// Command is "virtuml image".
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "image", Short: "Make, show and remove images", Args: cobra.NoArgs,
		Long: `Images are volumes of storage pools, and ordinary files: what is imported here
is in "virsh vol-list", and any disk of a guest that is shut off can be looked
into.`,
		Example: "  virtuml image import --name web rootfs.tar.xz\n  virtuml image list\n  virtuml image ls web:/etc",
	}
	cmd.AddCommand(importCommand(), listCommand(), inspectCommand(), removeCommand())
	return cmd
}

func importCommand() *cobra.Command {
	var j job
	var size, maxSize, format string
	cmd := &cobra.Command{
		Use:   "import SOURCE",
		Short: "Make an image of a container image, tarball, folder or disk image",
		Long: `Makes an image that guests can be started from, without root rights.

SOURCE is one of
  an OCI layout folder, or an archive of "docker save" or "podman save";
  the name of an image in a registry, such as debian:12, or docker://NAME;
  a tarball of a root filesystem: .tar, .tar.gz, .tar.xz, .tar.zst, .tar.bz2;
  a folder;
  a disk image: raw, or qcow2 where qemu-img is installed.`,
		Example: "  virtuml image import debian:12\n  virtuml image import --name web --size 4G rootfs.tar.xz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if j.size, err = parseSize("size", size); err != nil {
				return err
			}
			if j.maxSize, err = parseSize("max-size", maxSize); err != nil {
				return err
			}
			if j.kind = rootfs.Kind(format); !slices.Contains(rootfs.Kinds(), j.kind) {
				return fmt.Errorf("--format %s: use one of %s", format, kinds())
			}
			j.source, j.out, j.log = args[0], cmd.OutOrStdout(), cmd.ErrOrStderr()
			return j.run(cmd.Context())
		},
	}
	j.Define(cmd)
	f := cmd.Flags()
	f.StringVar(&j.name, "name", "", "name of the image (default: from SOURCE)")
	f.StringVar(&size, "size", "", "size of the filesystem, such as 2G (default: what it needs, and a quarter more)")
	f.StringVar(&maxSize, "max-size", "64G", "refuse what needs more than this")
	f.IntVar(&j.maxEntries, "max-files", 2_000_000, "refuse what has more files than this")
	f.StringVar(&format, "format", "auto", "what SOURCE is: "+kinds())
	f.BoolVar(&j.modules, "modules", false, "add the kernel's modules")
	f.StringVar(&j.kernel, "kernel", "/usr/bin/linux.uml", "kernel whose modules are added")
	f.BoolVar(&j.options.Insecure, "insecure", false, "speak to the registry without encryption")
	f.BoolVar(&j.options.KeepOwners, "keep-owners", false, "leave your own files of a folder yours in the guest, not root's")
	f.BoolVar(&j.json, "json", false, "print JSON")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(strings.Split(kinds(), ", "), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func kinds() string {
	var all []string
	for _, k := range rootfs.Kinds() {
		all = append(all, string(k))
	}
	return strings.Join(all, ", ")
}
