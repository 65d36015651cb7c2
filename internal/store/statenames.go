package store

import (
	"fmt"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
)

// A status names states and reasons in libvirt's words (virDomainState and the
// enumerations of reasons in src/conf/domain_conf.c). The indexes are the
// numbers of the public API.
var (
	states = []string{
		"nostate", "running", "blocked", "paused",
		"shutdown", "shutoff", "crashed", "pmsuspended",
	}

	onlyUnknown = []string{"unknown"}

	reasons = map[libvirt.DomainState][]string{
		libvirt.DomainNostate: onlyUnknown,
		libvirt.DomainRunning: {
			"unknown", "booted", "migrated", "restored", "from snapshot",
			"unpaused", "migration canceled", "save canceled", "wakeup",
			"crashed", "post-copy",
		},
		libvirt.DomainBlocked: onlyUnknown,
		libvirt.DomainPaused: {
			"unknown", "user", "migration", "save", "dump", "ioerror",
			"watchdog", "from snapshot", "shutdown", "snapshot",
			"panicked", "starting up",
		},
		libvirt.DomainShutdown: {"unknown", "user"},
		libvirt.DomainShutoff: {
			"unknown", "shutdown", "destroyed", "crashed", "migrated",
			"saved", "failed", "from snapshot", "daemon",
		},
		libvirt.DomainCrashed:     {"unknown", "panicked"},
		libvirt.DomainPmsuspended: onlyUnknown,
	}
)

func stateNames(state libvirt.DomainState, reason int32) (stateName, reasonName string, err error) {
	if state < 0 || int(state) >= len(states) {
		return "", "", fmt.Errorf("unknown state %d", state)
	}
	names := reasons[state]
	if reason < 0 || int(reason) >= len(names) {
		return "", "", fmt.Errorf("unknown reason %d of state %s", reason, states[state])
	}
	return states[state], names[reason], nil
}

func stateNumbers(stateName, reasonName string) (libvirt.DomainState, int32, error) {
	state := slices.Index(states, stateName)
	if state < 0 {
		return 0, 0, fmt.Errorf("unknown state %q", stateName)
	}
	reason := slices.Index(reasons[libvirt.DomainState(state)], reasonName)
	if reason < 0 {
		return 0, 0, fmt.Errorf("unknown reason %q of state %s", reasonName, stateName)
	}
	return libvirt.DomainState(state), int32(reason), nil
}
