package domain_test

import (
	"context"
	"errors"

	"virtumld/internal/domxml"
)

func (m *fakeMachine) CommandLine(context.Context, *domxml.Definition) (string, error) {
	return "", errors.New("no kernels here")
}
