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
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "virtuml:", text)
	}
	if exit := (*run.ExitError)(nil); errors.As(err, &exit) {
		return exit.Status
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 130 // as of a program that SIGINT ended
	}
	return 1
}

// Command is the program: its commands, put together.
func Command(version string) *cobra.Command {
	root := &cobra.Command{
		Use:           "virtuml",
		Short:         "Images and guests of User Mode Linux",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	images := image.Command()
	images.AddCommand(clone.Commands()...)
	images.AddCommand(browse.Commands()...)
	root.AddCommand(images, run.Command(), doctor.Command())
	return root
}
