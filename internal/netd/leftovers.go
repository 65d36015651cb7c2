package netd

import (
	"context"
	"errors"
	"io/fs"

	"virtumld/internal/netd/tap"
	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/process"
)

// CleanUp ends the process of a network whose starter was killed, and removes
// what is left of it. That there is none is no error.
func CleanUp(ctx context.Context, spec *Spec) error {
	running, err := Find(ctx, spec.Dir)
	switch {
	case err == nil:
		err = running.Stop(ctx)
	case errors.Is(err, fs.ErrNotExist):
		err = endDeaf(spec.Dir)
	}
	RemoveDevices(spec)
	return err
}

// endDeaf ends a process that serves nobody any more, but may not have ended.
func endDeaf(dir string) error {
	var id process.ID
	err := rundir.ReadJSON(dir, processFile, &id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return id.Kill(killTime)
}

// RemoveDevices removes what a process that has ended has left of its devices.
// Only a macvtap outlives its process, when that is killed.
func RemoveDevices(spec *Spec) {
	if spec.changesDevice() {
		tap.RemoveLeftovers()
	}
}
