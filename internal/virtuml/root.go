// Package virtuml is the command line of the program of the same name: its
// commands, put together. What they do is in the packages below it.
package virtuml

//go:generate go run ./gen ../../docs/man

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"virtumld/internal/virtuml/browse"
	"virtumld/internal/virtuml/capture"
	"virtumld/internal/virtuml/clone"
	"virtumld/internal/virtuml/doctor"
	"virtumld/internal/virtuml/image"
	"virtumld/internal/virtuml/run"
)

// Main runs the command line of this process and returns its exit status.
func Main(version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := Command(version).ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	interrupted := errors.Is(err, context.Canceled) && ctx.Err() != nil
	if interrupted {
		err = errors.New("interrupted")
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "virtuml:", text)
	}
	if exit := (*run.ExitError)(nil); errors.As(err, &exit) {
		return exit.Status
	}
	if interrupted {
		return 130 // as of a program that SIGINT ended
	}
	return 1
}

// Command is the program: its commands, put together.
func Command(version string) *cobra.Command {
	root := &cobra.Command{
		Use:   "virtuml",
		Short: "Images and guests of User Mode Linux",
		Long: `Makes disks for User Mode Linux guests of container images, tarballs, folders and
disk images, without root rights, and runs commands in guests of their own.

virtuml is a client of virtumld, as virsh is: its images are volumes of storage
pools, its guests are in "virsh list". It uses the daemon of --connect or of
LIBVIRT_DEFAULT_URI, if that is one of uml, else uml:///system for root and
uml:///session for everybody else.

Completion for a shell is printed by "virtuml completion bash", zsh or fish.`,
		Example: `  virtuml doctor
  virtuml image import debian:12
  virtuml run --rm debian-12 cat /etc/os-release
  virtuml image cp debian-12:/etc/debian_version .
  virtuml completion bash >~/.local/share/bash-completion/completions/virtuml`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	images := image.Command()
	images.AddCommand(clone.Commands()...)
	images.AddCommand(browse.Commands()...)
	root.AddCommand(images, run.Command(), capture.Command(), doctor.Command())
	return root
}
