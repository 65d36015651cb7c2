// Package doctor is "virtuml doctor": it says in plain words what on this host
// would keep a guest from starting, and how to mend it. Each check is a
// function of a Host, which tests can break. It changes nothing.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Level is how bad a finding is.
type Level string

// The levels. Warning is what some guests or commands miss, Fatal what keeps
// every guest from starting.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Fatal   Level = "fatal"
)

// Finding is what a check has found.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Text says how things are, Mend what to do about it ("" for OK).
	Text string `json:"text"`
	Mend string `json:"mend,omitempty"`
}

// errFatal makes the exit status 1 after the findings were shown.
var errFatal = errors.New("guests cannot start on this host until what is marked fatal is mended")

// Command is "virtuml doctor".
func Command() *cobra.Command {
	var uri string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what keeps guests from starting on this host",
		Long: `Say what on this host would keep a guest from starting, and how to mend it.

The exit status is 0 when guests can start, though something may be missing
for some of them, and 1 otherwise.`,
		Example: "  virtuml doctor\n  virtuml doctor --connect uml:///session --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := Examine(cmd.Context(), ThisHost(uri))
			if err := show(cmd.OutOrStdout(), findings, asJSON); err != nil {
				return err
			}
			return verdict(findings)
		},
	}
	cmd.Flags().StringVarP(&uri, "connect", "c", "", "daemon to ask, such as uml:///session (default: as virsh chooses)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list of the findings")
	return cmd
}

// Examine runs all checks.
func Examine(ctx context.Context, h *Host) []Finding {
	h.examineKernel(ctx)
	var all []Finding
	for _, check := range []struct {
		name string
		run  func(context.Context, *Host) Finding
	}{
		{"kernel", checkKernel},
		{"processor", checkProcessor},
		{"ptrace", checkPtrace},
		{"namespaces", checkNamespaces},
		{"memory folder", checkShm},
		{"tun", checkTun},
		{"daemon", checkDaemon},
		{"virsh", checkVirsh},
		{"e2fsprogs", checkE2fsprogs},
		{"qemu-img", checkQemuImg},
	} {
		f := check.run(ctx, h)
		f.Check = check.name
		all = append(all, f)
	}
	return all
}

func verdict(findings []Finding) error {
	for _, f := range findings {
		if f.Level == Fatal {
			return errFatal
		}
	}
	return nil
}

func show(w io.Writer, findings []Finding, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(findings)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%-8s %-14s %s\n", f.Level, f.Check, f.Text); err != nil {
			return err
		}
		if f.Mend == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-8s %-14s to mend it: %s\n", "", "", f.Mend); err != nil {
			return err
		}
	}
	return nil
}
