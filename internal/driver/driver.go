package driver

import (
	"log/slog"
	"sync/atomic"

	"virtumld/internal/domain"
	"virtumld/internal/network"
	"virtumld/internal/paths"
	"virtumld/internal/storage"
)

// Driver serves every connection of one daemon.
type Driver struct {
	domains  *domain.List
	bus      *domain.Bus
	storage  storage.Manager
	networks network.Manager
	host     HostView
	paths    paths.Paths
	log      *slog.Logger
	consoles consoles
	lastList atomic.Pointer[listing]
}

// New makes the driver of one instance.
func New(domains *domain.List, bus *domain.Bus, pools storage.Manager, networks network.Manager, host HostView, p paths.Paths, log *slog.Logger) *Driver {
	return &Driver{domains: domains, bus: bus, storage: pools, networks: networks, host: host, paths: p, log: log}
}
