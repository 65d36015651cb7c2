package netd

import "virtumld/internal/netd/tap"

// RemoveDevices removes what a process that has ended has left of its devices.
// Only a macvtap outlives its process, when that is killed.
func RemoveDevices(spec *Spec) {
	if spec.changesDevice() {
		tap.RemoveLeftovers()
	}
}
