package domain

import (
	"context"

	"virtumld/internal/domxml"
)

// CommandLine is the command line for a shell that starts def's kernel, which
// need not be a domain of the list.
func (l *List) CommandLine(ctx context.Context, def *domxml.Definition) (string, error) {
	return l.machine.CommandLine(ctx, def)
}
