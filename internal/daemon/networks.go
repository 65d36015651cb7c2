package daemon

import (
	"context"

	"virtumld/internal/netd"
	"virtumld/internal/network"
)

// loadNetworks finds the virtual networks again. The processes of the system
// instance's run as the guests' user.
func (u *umlInstance) loadNetworks(ctx context.Context, s setup, executable string) (err error) {
	var user *netd.User
	if s.guestUser != nil {
		user = &netd.User{UID: s.guestUser.UID, GID: s.guestUser.GID}
	}
	u.networks, err = network.Open(network.Config{
		ConfigDir: s.paths.NetworkConfigDir,
		StateDir:  s.paths.NetworkStateDir,
		LeaseDir:  s.paths.NetworkLeaseDir,
		User:      user,
		Processes: network.Netd{Executable: executable},
		Log:       u.log,
	})
	if err != nil {
		return err
	}
	return u.networks.Load(ctx)
}
